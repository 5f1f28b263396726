"""Stacks that use each other's resources."""

from pathlib import Path

import pytest

from lambdaform import Function, PythonCode, Queue, Stack
from lambdaform.engine.order import needed_stacks
from lambdaform.model.problem import LambdaformError

HANDLER = PythonCode(Path(__file__).parent.parent / "benchmarks" / "stacks" / "src")


class Shop(Stack):
    """Has the queue."""

    inbox = Queue()


class Billing(Stack):
    """Reads the other stack's queue."""

    biller = Function("worker.handler", HANDLER, triggers=[Shop.inbox.messages()])


class Chicken(Stack):
    """Half of a circle."""

    def build(self) -> None:
        self.add("a", Queue())
        self.add("f", Function("worker.handler", HANDLER, environment={"EGG": Egg.b.url}))

    c = Queue()


class Egg(Stack):
    """The other half."""

    b = Queue()
    f = Function("worker.handler", HANDLER, environment={"CHICKEN": Chicken.c.url})


def test_a_stack_comes_after_the_ones_it_needs() -> None:
    assert needed_stacks(Billing, lambda stack: stack().graph()) == [Shop, Billing]


def test_stacks_in_a_circle_are_refused_with_the_path() -> None:
    with pytest.raises(LambdaformError, match="chicken needs egg needs chicken"):
        needed_stacks(Chicken, lambda stack: stack().graph())


def test_the_needed_stack_is_deployed_first_and_its_messages_arrive() -> None:
    with Billing.local(clock="virtual") as aws:
        url = aws.call("sqs", "GetQueueUrl", QueueName="shop-dev-inbox")["QueueUrl"]
        aws.call("sqs", "SendMessage", QueueUrl=url, MessageBody="hello")
        aws.clock.advance(seconds=1)

        [invocation] = aws.invocations(Billing.biller)
        assert invocation.event["Records"][0]["body"] == "hello"


class Aliased(Stack):
    """Has a function with an alias."""

    echo = Function("tells.handler", PythonCode(Path(__file__).parent / "fakes" / "code"), alias="live")


def test_a_function_with_an_alias_is_invoked_by_it() -> None:
    with Aliased.local() as aws:
        told = aws.invoke(Aliased.echo)

    assert told.json() == ["1", "live"]
