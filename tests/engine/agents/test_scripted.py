"""The scripted model, heard through take_turn: whole stories first, then single remarks."""

import pytest

from engine.agents import AgentSpec, HistoryMessage, LeadFacts, ModelConfig, Passage, take_turn
from engine.agents.topics import BY_KEY, amount, minimum

PRICES = Passage("Pricing", "Plans start at $49 a month per seat. We are based in Porto.")


def test_story_of_a_lead_who_qualifies(tell):
    story = tell(
        "sales-qualifier",
        "Hi! We lose too many leads because nobody answers at night.",
        "We are 12 people and have around $5k a month. What are your prices?",
        "Next month would be great",
        "Sure: ada@example.com",
        passages=(PRICES,),
    )

    assert [turn.reply for turn in story.turns] == [
        "Hi Ada, this is Mia. Thanks for your interest! I have a few short questions to see whether we can help. "
        "What is the main challenge you would like to solve?",
        "Thanks, that helps. How many people are on your team?",
        "Plans start at $49 a month per seat. Thanks, I've noted your team size (12) and budget ($5k a month). "
        "How soon would you like to get started?",
        "Thanks, I've noted your timeline (Next month). Which email address should we send the invitation to?",
        "Thanks, I've noted your email address (ada@example.com). That's all I need, Ada. "
        "A colleague will write to ada@example.com with the next steps.",
    ]
    assert [turn.stage.id for turn in story.turns] == ["discovery", "fit", "timing", "next-step", "next-step"]
    last = story.turns[-1]
    assert (last.lead_status, last.conversation_status, last.qualification.qualified) == (
        "qualified",
        "completed",
        True,
    )
    assert story.turns[2].passages_used == (0,)
    assert last.summary == (
        "Ada Byron: needs: We lose too many leads because nobody answers at night; team size: 12; "
        "budget: $5k a month; timeline: Next month; email address: ada@example.com. Qualified."
    )


def test_story_of_a_lead_who_is_disqualified(tell):
    story = tell("sales-qualifier", "We want to answer faster", "20 people, but we have no budget for this")

    last = story.turns[-1]
    assert last.reply == (
        "Understood, Ada, thank you for letting me know. I won't take more of your time. All the best!"
    )
    assert (last.lead_status, last.conversation_status) == ("disqualified", "completed")
    assert last.qualification.reason == "Has no budget."


def test_story_of_a_lead_who_is_handed_off(tell):
    story = tell("sales-qualifier", "We want to answer faster", "Could I speak with a real person please?")

    last = story.turns[-1]
    assert last.reply.startswith("Let me bring in a colleague from our sales team")
    assert (last.lead_status, last.conversation_status) == ("contacted", "handed_off")
    assert last.handoff_reason == "The lead asked for a person."


def test_lead_who_tells_everything_at_once_is_asked_nothing_twice(tell):
    story = tell(
        "sales-qualifier",
        "We need faster replies for 40 employees, budget is $5,000 and we start in March. ada@example.com",
    )

    assert story.turns[-1].lead_status == "qualified"
    assert story.turns[-1].extracted == {
        "need": "We need faster replies for 40 employees",
        "email": "ada@example.com",
        "budget": "$5,000",
        "company_size": "40",
        "timeline": "in March",
    }


def test_lead_who_writes_first_is_greeted_and_asked(make_context):
    context = make_context(history=(HistoryMessage("lead", "Hello"),), message_total=1)

    turn = take_turn(context, ModelConfig())

    assert turn.reply == "Hi Ada, this is Mia. What is the main challenge you would like to solve?"
    assert not turn.stage_changed


def test_known_email_is_not_asked_for_again(make_context):
    context = make_context("Next week", stage_index=2, lead=LeadFacts("Ada", "ada@example.com"))

    facts = {"need": "x", "company_size": "40", "budget": "$9,000"}
    known = LeadFacts("Ada", "ada@example.com", custom_fields=facts)
    turn = take_turn(make_context("Next week", stage_index=2, lead=known, history=context.history), ModelConfig())

    assert turn.conversation_status == "completed"


def test_question_without_a_passage_is_not_guessed(tell):
    story = tell("sales-qualifier", "Do you support Klingon?", passages=(PRICES,))

    assert story.turns[-1].reply.startswith("Good question! I don't have a confirmed answer")
    assert story.turns[-1].passages_used == ()


def test_proposal_with_a_question_mark_is_an_answer(tell):
    story = tell("appointment-setter", "A demo of the reporting", "Would Tuesday at 10 work?")

    assert story.turns[-1].extracted == {"meeting_time": "Tuesday at 10"}
    assert "Good question" not in story.turns[-1].reply


def test_forbidden_topic_is_deflected_and_the_question_repeated(tell):
    story = tell("sales-qualifier", "What do you think about politics?")

    assert story.turns[-1].reply.endswith("What is the main challenge you would like to solve?")
    assert "politics" not in story.turns[-1].reply


def test_open_decision_is_accepted_but_an_email_is_needed(tell):
    story = tell("sales-qualifier", "We lose leads", "20 people", "Not sure yet", "Q3", "I don't know")

    assert story.turns[3].reply.startswith("No problem, we can leave the budget open for now.")
    assert story.turns[-1].conversation_status == "active"
    assert (
        story.turns[-1].reply == "Sorry, I didn't quite get that. Which email address should we send the invitation to?"
    )


def test_lead_who_leaves_open_what_the_criteria_ask_for_gets_no_verdict(tell):
    story = tell("sales-qualifier", "We lose leads", "20 people", "Not sure yet", "Q3", "ada@example.com")

    last = story.turns[-1]
    assert (last.conversation_status, last.qualification) == ("completed", None)
    assert last.summary.endswith("Undecided on budget.")


def test_shrug_is_no_answer_to_an_open_question(tell):
    assert tell("sales-qualifier", "Not sure yet.").turns[-1].extracted == {"need": "undecided"}


def test_lead_below_a_bound_of_the_criteria_is_told_so_politely(tell):
    story = tell("sales-qualifier", "We want to answer faster", "just 3 of us")

    assert story.turns[-1].lead_status == "disqualified"
    assert story.turns[-1].qualification.reason == "Team size 3 is below the minimum of 5."


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Not interested, sorry", "Is not interested."),
        ("no thanks", "Is not interested."),
        ("Please stop contacting me", "Asked not to be contacted."),
        ("We can’t afford it", "Has no budget."),
        ("We already use another tool", "Already has a solution."),
        ("wrong number", "Wrong person."),
    ],
)
def test_refusals(tell, said, reason):
    turn = tell("sales-qualifier", said).turns[-1]

    assert (turn.lead_status, turn.conversation_status) == ("disqualified", "completed")
    assert turn.qualification.reason == reason
    assert turn.extracted == {}


@pytest.mark.parametrize(
    "said",
    [
        "No problem",
        "We already have 40 employees",
        "We don't need SSO, we need speed",
        "We cannot afford to lose leads",
        "There is no budget limit",
        "Our agents talk with customers all day",
    ],
)
def test_remarks_that_only_look_like_refusals(tell, said):
    assert tell("sales-qualifier", said).turns[-1].conversation_status == "active"


def test_plain_no_to_an_offer_is_a_refusal(tell):
    assert tell("re-engagement", "No").turns[-1].lead_status == "disqualified"


def test_questions_come_from_the_agents_own_prompts(make_context):
    stages = [
        {"id": "a", "name": "Colour", "prompt": "Which colour do you like best?", "transitionCriteria": "Answered."},
        {"id": "b", "name": "Wishes"},
    ]
    agent = AgentSpec.from_config({"name": "Kim", "systemPrompt": "You are Kim.", "stages": stages})
    history = (HistoryMessage("agent", "Hi."), HistoryMessage("lead", "Green"))

    opening = take_turn(make_context(agent=agent, history=(), opening=True), ModelConfig())
    second = take_turn(make_context(agent=agent, history=history), ModelConfig())

    assert opening.reply == "Hi Ada, this is Kim. Which colour do you like best?"
    assert second.reply == "Thanks! Is there anything else I should know about wishes?"
    assert second.stage.id == "b"


def test_stage_that_never_gets_its_answer_is_left_after_its_limit(tell):
    story = tell("sales-qualifier", "We lose leads", "hm", "hm", "hm", "hm")

    assert [turn.guardrail for turn in story.turns][-2:] == [None, "stage_max_messages"]
    assert story.turns[-1].stage.id == "timing"


@pytest.mark.parametrize(
    ("key", "text", "asked", "value"),
    [
        ("email", "write to Ada.B+x@mail.example.com.", False, "Ada.B+x@mail.example.com"),
        ("budget", "about $5,000 per month", False, "$5,000 per month"),
        ("budget", "between 5k and 10k", False, "5k"),
        ("budget", "2000 euros", False, "2000 euros"),
        ("budget", "3000", True, "3000"),
        ("budget", "we are 40 people", False, None),
        ("company_size", "a team of about 25", False, "25"),
        ("company_size", "1,200 employees", False, "1,200"),
        ("company_size", "40", True, "40"),
        ("company_size", "40", False, None),
        ("timeline", "ASAP", False, "ASAP"),
        ("timeline", "by the end of next quarter", False, "by the end of next quarter"),
        ("timeline", "in 3 weeks", False, "in 3 weeks"),
        ("timeline", "2026-05-01", False, "2026-05-01"),
        ("timeline", "$49 a month", False, None),
        ("timeline", "three months", True, "three months"),
        ("meeting_time", "How about Thursday at 3pm", False, "Thursday at 3pm"),
        ("meeting_time", "tomorrow afternoon", False, "tomorrow afternoon"),
        ("name", "My name is Ada Byron and I ask", False, "Ada Byron"),
        ("name", "Grace Hopper", True, "Grace Hopper"),
        ("location", "we are based in Porto", False, "Porto"),
        ("experience", "about five years", False, "five years"),
        ("reference", "order #A-4821", False, "#A-4821"),
        ("need", "Hello", True, None),
    ],
)
def test_facts_are_read_from_plain_english(key, text, asked, value):
    assert BY_KEY[key].read(text, asked) == value


@pytest.mark.parametrize(
    ("text", "number"), [("$5,000", 5000), ("2.5k", 2500), ("1 million", 1e6), ("5k-10k", 10_000), ("none", None)]
)
def test_amounts(text, number):
    assert amount(text) == number


@pytest.mark.parametrize(
    ("key", "criteria", "bound"),
    [
        ("budget", "The budget is at least $1,000. The team has 5 people.", 1000),
        ("budget", "Budget over 5k and a timeline", 5000),
        ("company_size", "At least 10 employees; a need", 10),
        ("company_size", "minimum of 20 people", 20),
        ("budget", "Has a budget", None),
        ("budget", "At least 10 employees", None),
    ],
)
def test_lower_bounds_in_criteria(key, criteria, bound):
    assert minimum(key, criteria) == bound
