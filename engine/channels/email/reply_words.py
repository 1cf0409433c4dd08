"""Words by which mail programs introduce what they quote, and by which people end an email; all in lower case."""

from __future__ import annotations

# "On … wrote:" in the languages of the common mail programs.
WROTE = (
    "wrote", "schrieb", "a écrit", "escribió", "escreveu", "ha scritto", "schreef", "skrev", "napisał", "napsal",
    "kirjoitti", "написал", "пише", "написав", "írta", "a scris", "έγραψε", "yazdı", "כתב", "كتب", "写道", "寫道",
    "님이 작성", "のメール", "のメッセージ", "viết",
)  # fmt: skip

# How such an introduction begins, where a mail program breaks it into lines.
OPENERS = (
    "on ", "am ", "le ", "el ", "em ", "il ", "op ", "den ", "dnia ", "w dniu ", "dne ", "på ",
)  # fmt: skip

# Headers by which Outlook and others introduce the email below: who sent it, and the rest.
SENDER_LABELS = frozenset(
    {"from", "von", "de", "da", "van", "od", "från", "fra", "lähettäjä", "от", "kimden", "发件人", "寄件者", "差出人",
     "보낸 사람", "보낸사람", "expéditeur", "feladó"}
)  # fmt: skip
HEADER_LABELS = SENDER_LABELS | frozenset(
    {"sent", "to", "cc", "bcc", "subject", "date", "reply-to", "gesendet", "an", "betreff", "datum", "envoyé", "à",
     "a", "objet", "enviado", "enviado el", "para", "asunto", "fecha", "enviada em", "assunto", "data", "inviato",
     "oggetto", "verzonden", "aan", "onderwerp", "wysłano", "do", "dw", "temat", "odesláno", "komu", "předmět",
     "kopie", "skickat", "till", "ämne", "kopia", "sendt", "til", "emne", "dato", "lähetetty", "vastaanottaja", "aihe",
     "отправлено", "кому", "тема", "дата", "копия", "发送时间", "收件人", "主题", "抄送", "日期", "宛先", "件名",
     "送信日時", "日時", "받는 사람", "받는사람", "제목", "보낸 날짜", "보낸날짜"}
)  # fmt: skip

MOBILE = (
    "sent from my ", "sent from outlook", "sent from mail for", "get outlook for", "sent from yahoo",
    "sent with proton", "von meinem iphone", "von meinem ipad", "von meinem samsung", "von meinem smartphone",
    "von meinem handy", "gesendet mit", "gesendet von ", "envoyé de mon", "envoyé depuis", "envoyé à partir",
    "enviado desde", "enviado do meu", "enviado de meu", "inviato da ", "verzonden vanaf", "verstuurd vanaf",
    "skickat från", "sendt fra", "lähetetty ", "wysłano z", "wysłane z", "odesláno z", "отправлено с",
    "发自我的", "從我的", "iphoneから送信", "나의 iphone에서",
)  # fmt: skip

SIGN_OFFS = frozenset(
    {"best", "best regards", "best wishes", "kind regards", "kindest regards", "warm regards", "regards", "cheers",
     "thanks", "thanks a lot", "many thanks", "thank you", "thanks in advance", "sincerely", "yours sincerely",
     "yours faithfully", "yours truly", "all the best", "br", "kr",
     "mit freundlichen grüßen", "mit freundlichen grüssen", "freundliche grüße", "freundliche grüsse", "viele grüße",
     "viele grüsse", "liebe grüße", "liebe grüsse", "beste grüße", "beste grüsse", "schöne grüße", "gruß", "lg", "mfg",
     "vg", "danke", "vielen dank",
     "saludos", "saludos cordiales", "un saludo", "atentamente", "cordialmente", "gracias", "muchas gracias",
     "un abrazo", "cordialement", "bien cordialement", "merci", "merci d'avance", "bien à vous", "salutations",
     "cordiali saluti", "distinti saluti", "saluti", "grazie", "atenciosamente", "abraços", "obrigado", "obrigada",
     "met vriendelijke groet", "met vriendelijke groeten", "groeten", "bedankt", "med vänliga hälsningar",
     "vänliga hälsningar", "hälsningar", "mvh", "med venlig hilsen", "venlig hilsen", "hilsen", "med vennlig hilsen",
     "vennlig hilsen", "ystävällisin terveisin", "pozdrawiam", "z poważaniem", "s pozdravem", "с уважением",
     "此致", "敬礼", "谢谢", "よろしくお願いします", "감사합니다"}
)  # fmt: skip

PARTICLES = frozenset({"da", "de", "del", "den", "der", "di", "la", "le", "van", "von", "y", "zu"})  # of a name
