"""How people ask for silence, and to be heard from again, in seven languages.

Everything is written as `words.plain` leaves it: lower case, without accents, apostrophes and punctuation. Patterns
match a whole sentence, from which words of politeness were taken off at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One language. Words stand for themselves; `alone` are those that mean something else beside any other word."""

    stop_words: frozenset[str]
    stop_words_alone: frozenset[str]
    stop_sentences: tuple[str, ...]
    start_words: frozenset[str]
    start_sentences: tuple[str, ...]


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(","))


_EN_SENT = r"(?:messages?|texts?|e ?mails?|mails?|sms|whatsapps?|spam|stuff|ads|newsletters?)"
_EN_LIST = (
    r"(?:off|from)(?: of)?(?: all)?(?: of)? (?:your|the|this|these|any)"
    r"(?: (?:mailing|contact|contacts|e ?mail|text|sms|marketing|call|calling|distribution))? "
    r"(?:lists?|database|system|records|files?|crm)"
)
_EN_ME = r"(?:me|us|this number|my number|my phone|this phone|this address|my address|this e ?mail)"
_EN_MINE = (
    r"(?:me|us|my (?:number|phone|phone number|address|e ?mail|e ?mail address|data|details|info|information|contact))"
)
_EN_REACH = (
    r"(?:contact|text|message|msg|e ?mail|mail|write|write to|call|phone|bother|disturb|spam|harass|reach out to)"
)
ENGLISH = Vocabulary(
    stop_words=_words("stop, stopall, stop all, unsubscribe, unsub, optout, opt out, unsubscribe all, stop it"),
    stop_words_alone=_words("end, quit, cancel, revoke, remove"),
    stop_sentences=(
        r"stop(?: it| this| that| all of this| all this)",
        r"stop (?:texting|messaging|contacting|writing|e ?mailing|mailing|calling|phoning|bothering|spamming|harassing|"
        rf"disturbing|pestering|annoying)(?: to)?(?: {_EN_ME})?",
        rf"stop (?:sending|with)(?: {_EN_ME})?(?: (?:these|those|any|your|the|all|more|such|this|of))* {_EN_SENT}"
        rf"(?: to {_EN_ME})?",
        rf"stop(?: (?:these|those|your|the|all|sending))* {_EN_SENT}",
        rf"(?:do not|dont|never) (?:ever )?{_EN_REACH} {_EN_ME}",
        r"do not contact",
        rf"(?:do not|dont|never) (?:ever )?send (?:me|us)(?: (?:any|more|anymore|these|your|such|further))* {_EN_SENT}",
        rf"no (?:more|further)(?: of (?:these|your|this))? {_EN_SENT}",
        rf"(?:unsubscribe (?:me|us|this number)|(?:opt|sign) (?:me|us) (?:out|off))(?: {_EN_LIST}| (?:of|from) "
        rf"(?:this|it))?",
        r"(?:i|we) (?:want|wish|would like|need|demand) to (?:opt out|unsubscribe|be (?:removed|taken off)|"
        rf"stop (?:receiving|getting) (?:these|your|any|all)? ?{_EN_SENT})(?: {_EN_LIST})?",
        rf"id like to (?:opt out|unsubscribe|be (?:removed|taken off))(?: {_EN_LIST})?",
        rf"(?:take|remove|delete|erase) {_EN_MINE} {_EN_LIST}",
        rf"(?:remove|delete|erase|lose) {_EN_MINE}",
        r"take me off",
        r"(?:leave me (?:alone|be)|go away|get lost|piss off|fuck off)",
        rf"(?:i|we) (?:do not|dont|no longer) (?:want|wish|care)(?: to (?:receive|get|see))?"
        rf"(?: (?:any|more|these|your|further|anymore))* {_EN_SENT}(?: from you)?",
        r"(?:i|we) (?:do not|dont|no longer) (?:want|wish|care) to (?:hear from you|be (?:contacted|texted|messaged|"
        r"e ?mailed|called|bothered))",
        r"(?:cease|stop) (?:all )?(?:contact|communication|communications)",
        r"i (?:hereby )?(?:withdraw|revoke) my consent",
    ),
    start_words=_words("start, unstop, subscribe, resubscribe, optin, opt in, restart, start again"),
    start_sentences=(
        r"(?:start|resume) (?:texting|messaging|contacting|writing|writing to|e ?mailing)(?: to)? (?:me|us)",
        rf"you (?:can|may) {_EN_REACH} (?:me|us)",
        r"(?:subscribe|resubscribe|opt) (?:me|us)(?: (?:back )?in)?",
        rf"i (?:want|would like) to (?:receive|get|have) (?:your |the )?{_EN_SENT} again",
        r"i (?:want|would like) to (?:subscribe|resubscribe|opt(?: back)? in|hear from you)",
    ),
)

_ES_SENT = r"(?:mensajes?|correos?|e ?mails?|mails?|sms|whatsapps?|publicidad|spam|propaganda)"
_ES_LIST = r"(?:de|d) (?:la|su|tu|esta|sus|vuestra|las|todas las) (?:listas?|base de datos|base)(?: de \w+)?"
SPANISH = Vocabulary(
    stop_words=_words(
        "darme de baja, dar de baja, dame de baja, deme de baja, denme de baja, basta, basta ya, desuscribir,"
        "desuscribirme, desuscribanme, desuscribeme, desapuntarme, cancelar suscripcion, quiero baja"
    ),
    stop_words_alone=_words(
        "baja, cancelar, cancela, fin, salir, parar, para, pare, detener, quitar, eliminar, borrar"
    ),
    stop_sentences=(
        r"(?:deja|deje|dejen|dejad|para|pare|paren|parad) (?:ya )?de "
        r"(?:escribirme|contactarme|molestarme|llamarme|acosarme|spamearme)",
        r"(?:deja|deje|dejen|dejad|para|pare|paren|parad) (?:ya )?de (?:enviar|mandar)(?:me)?"
        rf"(?: (?:mas|tantos|estos|esos|sus|tus))*(?: {_ES_SENT})?",
        r"(?:ya )?no me (?:escriba|escribas|escriban|contacte|contactes|contacten|moleste|molestes|molesten|llame|"
        r"llames|llamen)(?: (?:nunca )?mas| nunca)?",
        r"(?:ya )?no (?:(?:quiero|deseo) recibir|me (?:envien|envie|manden|mande)) nada(?: mas)?(?: de ustedes)?",
        r"(?:ya )?no me (?:envie|envies|envien|mande|mandes|manden|enviad|mandeis)"
        rf"(?: (?:mas|nunca mas|estos|esos|sus|tus))*(?: {_ES_SENT})?(?: mas| nunca mas)?",
        r"no (?:vuelva|vuelvas|vuelvan) a (?:escribirme|contactarme|molestarme|llamarme)",
        rf"(?:ya )?no (?:quiero|deseo)(?: recibir)?(?: (?:mas|sus|tus|estos|ningun|ninguna))* {_ES_SENT}"
        r"(?: (?:suyos|tuyos|de ustedes|de usted|vuestros|mas))?",
        r"(?:ya )?no (?:quiero|deseo) (?:que me (?:escriban|escriba|contacten|contacte|molesten)|ser contactad[oa])"
        r"(?: mas)?",
        r"(?:quiero|quisiera|deseo|solicito|me gustaria) (?:darme de|la|mi|que me den de|pedir la) baja",
        rf"(?:quiero|quisiera|deseo|me gustaria) (?:dejar de recibir|no recibir mas)(?: sus| tus| estos)? {_ES_SENT}",
        r"(?:borra|borre|borren|elimina|elimine|eliminen|quita|quite|quiten|saca|saque|saquen)"
        rf"(?:me| mi numero| mis datos| mi correo| mi contacto)(?: {_ES_LIST})?",
        r"(?:dejame|dejeme|dejenme|dejadme) (?:en paz|tranquil[oa])",
        rf"(?:no mas|basta de) {_ES_SENT}",
        r"(?:retiro|revoco) mi consentimiento",
    ),
    start_words=_words(
        "iniciar, inicio, comenzar, empezar, reanudar, alta, suscribir, suscribirme, suscribeme, darme de alta"
    ),
    start_sentences=(
        r"(?:ya )?(?:pueden|puede|puedes|podeis) (?:escribirme|contactarme|enviarme mensajes|mandarme mensajes)"
        r"(?: de nuevo| otra vez| nuevamente)?",
        r"(?:quiero|quisiera) (?:volver a )?recibir(?: sus| tus)? mensajes(?: de nuevo| otra vez| nuevamente)?",
        r"(?:dame|deme|denme) de alta",
    ),
)

_FR_SENT = r"(?:messages?|sms|textos?|mails?|e ?mails?|courriels?|courriers?|pubs?|publicites?|rien|spams?)"
_FR_LIST = (
    r"(?:de|d) (?:votre|ta|la|cette|vos|toutes vos) (?:listes?(?: de (?:diffusion|contacts?))?|base(?: de donnees)?|"
    r"fichiers?)"
)
FRENCH = Vocabulary(
    stop_words=_words(
        "arret, arreter, arretez, arrete, desabonner, desabonnement, desinscription, desinscrire, me desabonner,"
        "me desinscrire, stop sms"
    ),
    stop_words_alone=_words("fin, annuler, resilier, quitter, supprimer, retirer"),
    stop_sentences=(
        r"(?:arrete|arretez|cesse|cessez|arreter) (?:de |d)(?:mecrire|me contacter|mappeler|me harceler|me deranger|"
        r"mimportuner|me spammer|me relancer)",
        rf"(?:arrete|arretez|cesse|cessez|arreter) (?:de |d)(?:menvoyer|envoyer)(?: (?:des|vos|tes|ces|dautres))* "
        rf"{_FR_SENT}",
        rf"(?:arrete|arretez|cesse|cessez|arreter) (?:les|vos|tes|ces) {_FR_SENT}",
        r"(?:ne )?me (?:contactez|contacte|derangez|derange|harcelez|harcele|relancez|relance|recontactez|recontacte)"
        r"(?: surtout)? (?:plus|plus jamais|jamais)",
        r"(?:ne )?(?:mecrivez|mecris|mappelez|mappelle|mimportunez|mimportune) (?:plus|plus jamais|jamais)",
        rf"(?:ne )?(?:menvoyez|menvoie|menvoies) plus(?: jamais)?(?: (?:de|vos|des|aucuns?|tes|ces|d))* {_FR_SENT}",
        r"je (?:ne )?(?:veux|souhaite|desire) plus (?:(?:de |recevoir )+(?:vos |des |ces |aucun |de )*"
        rf"{_FR_SENT}|etre (?:contacte|derange|sollicite)e?|avoir de vos nouvelles)(?: de (?:votre|ta) part)?",
        r"(?:je (?:veux|souhaite|voudrais|desire)|jaimerais) (?:me (?:desabonner|desinscrire)|etre (?:desinscrit|"
        r"desabonne|"
        rf"retire|supprime|efface)e?)(?: {_FR_LIST})?",
        r"(?:desabonne|desabonnez|desinscris|desinscrivez|retire|retirez|supprime|supprimez|enleve|enlevez|efface|"
        r"effacez)"
        rf" (?:moi|mon numero|mes donnees|mes coordonnees|mon adresse|mon contact)(?: {_FR_LIST})?",
        r"(?:laisse|laissez|fiche|fichez|fous|foutez) moi (?:tranquille|la paix|en paix)",
        rf"plus (?:de|aucun) {_FR_SENT}",
        r"je (?:retire|revoque) mon (?:consentement|accord)",
    ),
    start_words=_words("demarrer, commencer, reprendre, reabonner, me reabonner, reabonnement, recommencer"),
    start_sentences=(
        r"(?:vous pouvez|tu peux) (?:mecrire|me contacter|menvoyer des messages) (?:a|de) nouveau",
        r"(?:vous pouvez|tu peux) (?:me recontacter|a nouveau mecrire|de nouveau mecrire|me reecrire)",
        r"(?:recontacte|recontactez|reabonne|reabonnez|reinscrivez) moi",
        r"je (?:veux|souhaite|voudrais) (?:(?:a|de) nouveau )?recevoir (?:vos|des) messages(?: (?:a|de) nouveau)?",
    ),
)

_DE_SENT = r"(?:nachrichten?|sms|mails?|e ?mails?|whatsapps?|werbung|newsletter|post|anrufe|spam)"
_DE_LIST = (
    r"(?:von|aus) (?:der|ihrer|eurer|deiner|dem|ihrem|eurem|deinem|allen|diesem|dieser) "
    r"(?:liste|listen|verteiler|verteilern|datenbank|mailingliste|kartei|system|adressliste)"
)
_DE_MINE = r"(?:mich|meine (?:nummer|daten|adresse|e ?mail ?adresse|mailadresse|telefonnummer|handynummer))"
GERMAN = Vocabulary(
    stop_words=_words(
        "stopp, abmelden, abbestellen, austragen, aufhoren, aufhoeren, abmeldung, schluss damit, hor auf, hoer auf,"
        "horen sie auf, hoeren sie auf, hort auf, hoert auf"
    ),
    stop_words_alone=_words("ende, schluss, beenden, loschen, loeschen, widerruf, widerrufen, abbrechen, entfernen"),
    stop_sentences=(
        r"(?:hoe?re?|hoe?rt|hoe?ren sie)(?: (?:bitte|endlich|jetzt))* auf(?: damit)?",
        r"(?:hoe?re?|hoe?rt|hoe?ren sie)(?: (?:bitte|endlich|jetzt))* auf (?:mir|mich|uns)"
        rf"(?: (?:zu (?:schreiben|texten|kontaktieren|belaestigen|belastigen|nerven)|anzurufen|anzuschreiben|"
        rf"{_DE_SENT} zu "
        r"(?:schicken|senden|schreiben)))",
        r"(?:schreibe?|schreibt|schreiben sie|schicke?|schickt|schicken sie|sende|sendet|senden sie) mir(?: bitte)?"
        rf" (?:nie wieder|nie mehr|nicht mehr|nichts mehr|keine(?: weiteren)? {_DE_SENT}(?: mehr)?)",
        r"kontaktier(?:e|t|en sie)? (?:mich|uns)(?: bitte)? (?:nicht|nie)(?: mehr| wieder)?",
        r"(?:ruf|rufe|ruft|rufen sie) (?:mich|uns)(?: bitte)? (?:nicht|nie)(?: mehr| wieder)? an",
        r"bela(?:e)?stig(?:e|t|en sie) mich nicht(?: mehr| la(?:e)?nger| weiter)?",
        rf"(?:keine (?:weiteren|neuen) {_DE_SENT}|keine {_DE_SENT} mehr|bitte keine {_DE_SENT})(?: von (?:ihnen|"
        rf"euch|dir))?"
        r"(?: mehr)?(?: (?:schicken|senden))?",
        r"(?:nicht|nie) (?:mehr|weiter|wieder) (?:schreiben|kontaktieren|anrufen|melden|anschreiben)",
        rf"ich (?:mo(?:e)?chte|will|wu(?:e)?nsche) keine(?: weiteren)? {_DE_SENT}(?: mehr)?(?: von (?:ihnen|euch|dir))?"
        r"(?: mehr)?(?: (?:erhalten|bekommen|haben|kriegen))?",
        r"ich (?:mo(?:e)?chte|will) (?:nichts mehr von (?:ihnen|euch|dir)|von (?:ihnen|euch|dir) nichts mehr)"
        r"(?: (?:ho(?:e)?ren|wissen|bekommen|erhalten))?",
        r"ich (?:mo(?:e)?chte|will) (?:mich )?(?:bitte )?(?:abmelden|austragen|abgemeldet werden|ausgetragen werden)",
        r"ich (?:mo(?:e)?chte|will) nicht (?:mehr|la(?:e)?nger|weiter) (?:von (?:ihnen|euch|dir) )?(?:kontaktiert|"
        r"angeschrieben|angerufen|bela(?:e)?stigt) werden",
        rf"(?:nimm|nehmt|nehmen sie) {_DE_MINE}(?: bitte)? {_DE_LIST}",
        rf"(?:lo(?:e)?sche?|lo(?:e)?scht|lo(?:e)?schen sie|streiche?|streichen sie|entferne?|entfernt|entfernen "
        rf"sie) {_DE_MINE}"
        rf"(?: bitte)?(?: {_DE_LIST})?",
        rf"(?:trage?|tragt|tragen sie|melde|meldet|melden sie) mich(?: bitte)?(?: {_DE_LIST})? (?:aus|ab)",
        r"(?:lass|lasst|lassen sie) (?:mich|uns)(?: (?:bitte|endlich|einfach))* in (?:ruhe|frieden)",
        r"ich (?:widerrufe|ziehe) (?:meine|die|mein) (?:einwilligung|zustimmung|einversta(?:e)?ndnis)(?: "
        r"zuru(?:e)?ck)?",
    ),
    start_words=_words("starten, anmelden, fortsetzen, wieder anmelden, wieder starten"),
    start_sentences=(
        r"(?:ihr (?:ko(?:e)?nnt|du(?:e)?rft)|du (?:kannst|darfst)|sie (?:ko(?:e)?nnen|du(?:e)?rfen)) mir (?:gerne? "
        r")?wieder "
        r"(?:schreiben|nachrichten (?:schicken|senden))",
        r"(?:schreibe?|schreibt|schreiben sie) mir(?: bitte| gerne?)? wieder",
        r"ich (?:mo(?:e)?chte|will) wieder nachrichten (?:erhalten|bekommen)",
    ),
)

_PT_SENT = r"(?:mensagens|mensagem|msgs?|e ?mails?|sms|whatsapps?|propagandas?|spam|publicidade)"
_PT_LIST = (
    r"(?:da|de|do|dessa|desta|das) (?:sua |vossa |suas |minha )?(?:listas?|base|cadastro|base de dados)"
    r"(?: de \w+)?"
)
PORTUGUESE = Vocabulary(
    stop_words=_words("descadastrar, descadastro, descadastrar me, me descadastrar, desinscrever, cancelar inscricao"),
    stop_words_alone=_words("sair, parar, pare, parem, cancelar, fim, remover, encerrar, excluir, chega"),
    stop_sentences=(
        r"(?:para|pare|parem|pode parar|podem parar) de me "
        r"(?:escrever|ligar|contatar|contactar|incomodar|perturbar|chamar|spammar)",
        rf"(?:para|pare|parem|pode parar|podem parar) de (?:me )?(?:mandar|enviar)(?: me)?"
        rf"(?: (?:mais|essas|estas|suas|tantas))*(?: {_PT_SENT})?",
        rf"(?:para|pare|parem|chega|basta) (?:com|de) (?:as |essas |estas |suas )?{_PT_SENT}",
        r"(?:nao|nunca mais) (?:me )?(?:escreva|escrevam|contate|contatem|contacte|contactem|ligue|liguem|perturbe|"
        r"perturbem|"
        r"incomode|incomodem|procure|procurem)(?: me)? (?:mais|nunca mais)",
        r"nao me (?:escreva|escrevam|contate|contatem|contacte|contactem|ligue|liguem|perturbe|perturbem|incomode|"
        r"incomodem)",
        rf"(?:nao|nunca mais) (?:me )?(?:mande|mandem|envie|enviem)(?: me)?(?: mais| nenhuma| essas| suas)* {_PT_SENT}"
        r"(?: mais)?",
        rf"(?:eu )?nao (?:quero|desejo)(?: mais)?(?: receber)?(?: (?:mais|suas|essas|estas|nenhuma))* {_PT_SENT}"
        r"(?: (?:mais|de voces|suas))*",
        r"(?:eu )?nao (?:quero|desejo) (?:mais )?ser (?:contatad|contactad|incomodad|perturbad)[oa](?: mais)?",
        rf"(?:quero|gostaria de|desejo) (?:sair {_PT_LIST}|me descadastrar|descadastrar me|cancelar (?:a |minha "
        rf")?inscricao|"
        rf"(?:parar|deixar) de receber(?: (?:suas|essas|as))? {_PT_SENT})",
        rf"me (?:tira|tire|tirem|remove|remova|removam|exclua|excluam|descadastre|descadastrem)(?: {_PT_LIST})?",
        r"(?:tire|tirem|remova|removam|exclua|excluam|retire|retirem|apague|apaguem|descadastre)"
        rf" (?:me|o meu numero|meu numero|os meus dados|meus dados|meu e ?mail|meu contato)(?: {_PT_LIST})?",
        r"(?:me deixa|me deixe|me deixem|deixe me|deixem me|deixa me) em paz",
        rf"(?:sem|nada de) mais {_PT_SENT}",
        r"(?:retiro|revogo) (?:o )?meu consentimento",
    ),
    start_words=_words("iniciar, inicio, comecar, voltar, retomar, reativar, inscrever, me inscrever"),
    start_sentences=(
        r"(?:ja )?(?:pode|podem) (?:me )?(?:escrever|mandar mensagens|enviar mensagens|contatar|contactar)(?: me)?"
        r" (?:de novo|novamente|outra vez)",
        r"(?:quero|gostaria de) (?:voltar a )?receber(?: as| suas)? mensagens(?: de novo| novamente| outra vez)?",
    ),
)

_IT_SENT = r"(?:messaggi|messaggio|e ?mail|mail|sms|whatsapp|pubblicita|comunicazioni|spam)"
_IT_LIST = (
    r"(?:dalla|dalle|da|dal|dai) (?:questa |vostra |tua |sua |vostre |vostro )?(?:list[ae]|mailing list|database|"
    r"rubrica|elenco|contatti)"
)
ITALIAN = Vocabulary(
    stop_words=_words(
        "disiscrivimi, disiscrivetemi, disiscrivermi, disiscrizione, disiscrivi, cancellami, cancellatemi, basta,"
        "basta cosi, smettila, smettetela, la smetta, fermati, fermatevi, rimuovimi, rimuovetemi"
    ),
    stop_words_alone=_words("annulla, annullare, cancella, cancellare, rimuovi, esci, ferma, interrompi, termina"),
    stop_sentences=(
        r"(?:smetti|smettila|smetta|smettetela|smettete|la smetta|basta|piantala|piantatela) (?:di|con|col|coi) "
        r"(?:scrivermi|contattarmi|chiamarmi|disturbarmi|importunarmi|tormentarmi)",
        r"(?:smetti|smettila|smetta|smettetela|smettete|la smetta|basta) (?:di )?(?:mandar|inviar)(?:mi|e)"
        rf"(?: (?:questi|i vostri|altri|dei))*(?: {_IT_SENT})?",
        rf"(?:basta|niente piu|non piu|basta con)(?: (?:questi|i vostri|i|altri))* {_IT_SENT}",
        r"non (?:scrivermi|scrivetemi|contattarmi|contattatemi|chiamarmi|chiamatemi|disturbarmi|disturbatemi|"
        r"mi (?:scriva|scrivete|scriviate|contatti|contattate|contattiate|disturbi|disturbate|chiami|chiamate))"
        r"(?: (?:mai )?piu)?",
        r"non (?:mandarmi|mandatemi|inviarmi|inviatemi|mi (?:mandi|mandate|invii|inviate))(?: piu| mai piu| altri| "
        r"questi)*"
        rf" {_IT_SENT}(?: piu)?",
        rf"non voglio (?:piu )?(?:ricevere )?(?:(?:i vostri|altri|piu|questi|vostri) )*{_IT_SENT}(?: piu)?(?: da voi)?",
        r"non voglio (?:piu )?(?:essere (?:contattat|disturbat)[oaie]|sentirvi|sentirti|che mi (?:scriviate|"
        r"contattiate))"
        r"(?: piu)?",
        rf"(?:cancella|cancellate|rimuovi|rimuovete|elimina|eliminate|togli|togliete)(?:mi| il mio numero| i miei dati|"
        rf" la mia e ?mail)(?: {_IT_LIST})?",
        rf"mi (?:cancelli|rimuova|elimini|tolga|disiscriva)(?: {_IT_LIST})?",
        r"(?:voglio|vorrei|desidero) (?:disiscrivermi|cancellarmi|annullare (?:la mia |l)?iscrizione|essere (?:rimoss|"
        rf"cancellat|tolt)[oa])(?: {_IT_LIST})?",
        r"(?:lasciami|lasciatemi|mi lasci|mi lasciate) (?:in pace|stare)",
        r"(?:revoco|ritiro) il (?:mio )?consenso",
    ),
    start_words=_words("inizia, iniziare, avvia, riprendi, riprendere, iscrivimi, iscrivetemi, riattiva, ricomincia"),
    start_sentences=(
        r"(?:puoi|potete|puo) (?:scrivermi|contattarmi|mandarmi messaggi)(?: di nuovo| ancora)?",
        r"(?:voglio|vorrei) (?:di nuovo )?ricevere (?:i vostri )?messaggi(?: di nuovo)?",
    ),
)

_NL_SENT = r"(?:berichten|berichtjes|mails?|e ?mails?|sms ?jes|sms|appjes|reclame|nieuwsbrieven|spam)"
_NL_SENDING = (
    r"(?:sturen|mailen|sms ?en|appen|bellen|schrijven|berichten|contacteren|lastigvallen|lastig te vallen|spammen)"
)
_NL_LIST = (
    r"(?:van|uit) (?:de|jullie|uw|je|deze|het|alle) (?:lijst|lijsten|mailinglijst|maillijst|database|bestand|"
    r"systeem|adressenlijst)"
)
_NL_MINE = r"(?:mij|me|mijn (?:nummer|gegevens|telefoonnummer|e ?mail|e ?mailadres|mailadres|adres))"
DUTCH = Vocabulary(
    stop_words=_words("stoppen, afmelden, uitschrijven, uitschrijf, stopzetten, hou op, houd op, houdt op, schei uit"),
    stop_words_alone=_words("einde, annuleren, verwijderen, opzeggen, beeindigen, ophouden"),
    stop_sentences=(
        rf"(?:stop|hou op|houd op|houdt op)(?: nu| eens)* met (?:(?:mij|me) )?(?:te )?{_NL_SENDING}",
        rf"(?:stop|hou op|houd op|houdt op)(?: nu| eens)* (?:met|om) (?:(?:mij|me|deze|die|het) )*(?:{_NL_SENT} "
        rf")?(?:te )?"
        rf"(?:sturen|versturen)(?: van {_NL_SENT})?",
        rf"(?:stop(?: met| die| deze)* {_NL_SENT}|geen(?: verdere)? {_NL_SENT} meer|geen verdere {_NL_SENT})(?: "
        rf"sturen)?",
        r"(?:schrijf|mail|app|sms|bel|contacteer|benader|bericht)(?: mij| me)(?: alsjeblieft| alstublieft| aub)?"
        r" (?:niet|nooit)(?: meer)?",
        rf"stuur(?: mij| me)(?: alsjeblieft| alstublieft| aub)? (?:niets|niks|geen(?: verdere)? {_NL_SENT})(?: meer)?",
        r"val (?:mij|me) (?:niet|nooit)(?: meer)? lastig",
        r"(?:neem|zoek) (?:geen|nooit) (?:contact )?(?:meer )?(?:contact )?(?:met (?:mij|me) )?(?:meer )?op",
        rf"ik wil (?:echt )?geen(?: verdere)? {_NL_SENT}(?: meer)?(?: van (?:jullie|u|je))?(?: meer)?(?: "
        rf"(?:ontvangen|krijgen))?",
        r"ik wil (?:niets|niks)(?: meer)? van (?:jullie|u|je)(?: meer)? horen",
        r"ik wil niet (?:meer|langer) (?:benaderd|gecontacteerd|gebeld|gemaild|lastiggevallen) worden",
        rf"ik wil (?:me|mij) (?:graag )?(?:afmelden|uitschrijven)(?: {_NL_LIST})?",
        rf"(?:meld|schrijf) (?:mij|me)(?: alsjeblieft| alstublieft| aub)? (?:af|uit)(?: {_NL_LIST})?",
        rf"haal {_NL_MINE}(?: alsjeblieft| alstublieft| aub)? {_NL_LIST}(?: af)?",
        rf"(?:verwijder|schrap|wis) {_NL_MINE}(?: alsjeblieft| alstublieft| aub)?(?: {_NL_LIST})?",
        r"laat (?:mij|me|ons)(?: alsjeblieft| alstublieft| aub| nu)* met rust",
        r"ik trek mijn toestemming in",
    ),
    start_words=_words("starten, aanmelden, hervatten, inschrijven, weer aanmelden"),
    start_sentences=(
        r"(?:jullie|je|u) (?:mag|mogen|kunt|kunnen|kan) (?:mij|me) weer (?:schrijven|appen|berichten sturen|mailen|"
        r"benaderen)",
        r"(?:stuur|schrijf) (?:mij|me) (?:maar )?weer(?: berichten)?",
        r"ik wil weer berichten (?:ontvangen|krijgen)",
    ),
)

LANGUAGES = (ENGLISH, SPANISH, FRENCH, GERMAN, PORTUGUESE, ITALIAN, DUTCH)

# Taken off at both ends of a sentence: they change nothing about what it asks for.
POLITENESS = (
    r"please|pls|plz|kindly|hi|hello|hey|ok|okay|sorry|just|no thanks|no thank you|thanks|thank you|thx|now|right now|"
    r"immediately|not interested|im not interested|i am not interested|wrong number|"
    r"at once|already|asap|any ?more|again|ever|ever again|any longer|for good|today|guys|sir|madam|"
    r"can you|could you|would you|will you|i said|i told you to|you need to|"
    r"no me interesa|no gracias|por favor|porfavor|porfa|hola|oye|ya|gracias|ahora|inmediatamente|de una vez|"
    r"sil vous plait|sil te plait|svp|stp|bonjour|salut|non merci|pas interesse|merci|maintenant|tout de suite|"
    r"immediatement|"
    r"bitte|hallo|nein danke|kein interesse|danke|jetzt|sofort|endlich|vielen dank|guten tag|"
    r"ola|nao obrigad[oa]|nao tenho interesse|obrigad[oa]|agora|imediatamente|"
    r"ciao|buongiorno|no grazie|non mi interessa|grazie|per favore|per cortesia|per piacere|subito|ora|adesso|"
    r"immediatamente|"
    r"alsjeblieft|alstublieft|aub|nee bedankt|geen interesse|bedankt|dank u|dank je|nu|meteen|direct|dag"
)

# Words of ending a subscription mean nothing else, even between other sentences.
CLEAR_WORDS = _words(
    "unsubscribe, unsub, optout, opt out, desabonner, desabonnement, desinscrire, desinscription, me desabonner,"
    "me desinscrire, darme de baja, dame de baja, deme de baja, denme de baja, desuscribirme, desuscribanme, abmelden,"
    "abbestellen, austragen, descadastrar, me descadastrar, disiscrivimi, disiscrivermi, cancellami, cancellatemi,"
    "afmelden, uitschrijven"
)

# Whoever asks for no calls may like to be written to; so this counts as silence only where nothing else is said.
CALLING = r"call|calling|called|phone|phoning|llam\w+|mappel\w+|ruf\w*|anruf\w*|anzurufen|lig\w+|chiam\w+|bel|bellen"

# What a sentence next to it says that wants another way, not silence.
ANOTHER_WAY = (
    r"instead|rather|prefer|better|mejor|prefiero|plutot|prefere|lieber|stattdessen|besser|prefiro|melhor|piuttosto|"
    r"meglio|"
    r"preferisco|liever|beter|"
    r"(?:call|text|message|e ?mail|write to|write|whatsapp|contact|ring|phone) me|"
    r"(?:llam|escrib|contact)\w*me|(?:appelez|ecrivez|contactez) moi|(?:schreib\w*|ruf\w*) (?:sie )?mi(?:r|ch)|"
    r"me (?:ligue|liguem|escreva|escrevam|chame|chamem)|(?:chiama|scrivi|chiamate|scrivete|contatta)(?:te)?mi|"
    r"(?:bel|mail|app|schrijf) (?:mij|me)"
)

# A line that begins so ends what was said: the rest is a signature.
CLOSINGS = (
    r"--|best|regards|kind regards|warm regards|best regards|best wishes|cheers|thanks|thank you|many thanks|sincerely|"
    r"yours|sent from|get outlook|saludos|un saludo|atentamente|gracias|cordialement|bien a vous|merci|salutations|"
    r"mfg|lg|vg|"
    r"viele gru|mit freundlichen|freundliche gru|beste gru|danke|gesendet von|abracos?|atenciosamente|obrigad|"
    r"cordiali saluti|distinti saluti|saluti|grazie|inviato da|groet|groeten|met vriendelijke|vriendelijke groet|"
    r"bedankt|"
    r"mvg|verzonden|verstuurd|envoye de|enviado desde|enviado do"
)
