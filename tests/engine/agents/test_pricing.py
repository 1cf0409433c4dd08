import pytest

from engine.agents import ModelConfig, ModelMalformed, pricing, take_turn


@pytest.fixture
def own_prices():
    yield pricing.configure
    pricing.configure({})


def test_known_model_has_its_public_price(openai_server, make_context):
    openai_server.says()

    usage = take_turn(make_context(), openai_server.config()).usage

    assert (usage.input_tokens, usage.output_tokens, usage.model) == (100, 20, "openai:gpt-4o-mini")
    assert usage.cost_micros == 27  # 100 tokens at $0.15 and 20 at $0.60 a million


def test_unknown_model_has_no_price(openai_server, make_context):
    openai_server.model = "llama3:8b"
    openai_server.says()
    config = ModelConfig.parse("openai-compatible:llama3:8b", base_url=f"{openai_server.url}/v1")

    usage = take_turn(make_context(), config).usage

    assert (usage.input_tokens, usage.cost_micros) == (100, None)


def test_own_price_comes_before_the_public_one(openai_server, make_context, own_prices):
    own_prices({"openai:gpt-4o-mini": {"input": 10, "output": "0.5"}})
    openai_server.says()

    assert take_turn(make_context(), openai_server.config()).usage.cost_micros == 1010


def test_scripted_model_is_free(make_context):
    usage = take_turn(make_context(), ModelConfig()).usage

    assert (usage.model, usage.input_tokens, usage.cost_micros) == ("scripted", 0, 0)


def test_turn_that_fails_in_the_end_has_cost_its_tokens(openai_server, make_context):
    openai_server.calls_tool('{"reply": ""}')

    with pytest.raises(ModelMalformed) as caught:
        take_turn(make_context(), openai_server.config(retries=1))

    assert (caught.value.usage.input_tokens, caught.value.usage.cost_micros) == (200, 54)


@pytest.mark.parametrize(
    "price",
    [{}, {"input": 1}, {"input": -1, "output": 1}, {"input": "much", "output": 1}, {"input": "nan", "output": 1}],
)
def test_price_that_is_none_is_refused(own_prices, price):
    with pytest.raises(ValueError, match="US dollars"):
        own_prices({"openai:x": price})
