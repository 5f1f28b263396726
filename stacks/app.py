"""The running example: a small shop that takes orders over HTTP, works them off a queue, and reports every night.

python stacks/app.py validate | plan | deploy | local | ...
"""

from lambdaform import (
    Bucket,
    Code,
    Cors,
    DeadLetter,
    Function,
    FunctionUrl,
    Layer,
    PythonCode,
    Queue,
    Reserved,
    Rule,
    Schedule,
    Stack,
    Table,
    Topic,
    by_stage,
)


class Orders(Stack):
    """Takes orders over HTTP, works them off a queue, reports every night."""

    src = PythonCode("src")
    catalogue = Layer(Code("layer"), description="What the shop sells")

    dead = Queue(retention="14 days")
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead, max_receives=5))
    orders = Table(partition_key="id", stream="NEW_IMAGE")
    reports = Bucket()
    shipped = Topic()

    api = Function(
        "orders.api.handler",
        src,
        layers=[catalogue],
        memory=by_stage(256, prod=1024),
        timeout="10 s",
        uses={"INBOX": inbox.send()},
        function_url=FunctionUrl(auth="NONE", cors=Cors(allow_origins=["https://shop.example"])),
        log_retention="2 weeks",
    )
    worker = Function(
        "orders.worker.handler",
        src,
        layers=[catalogue],
        timeout="30 s",
        concurrency=Reserved(20),
        uses={"ORDERS": orders.read_write(), "SHIPPED": shipped.publish()},
        triggers=[inbox.messages(batch_size=10, partial_failures=True)],
    )
    notifier = Function(
        "orders.notifier.handler",
        src,
        triggers=[shipped.notifications()],
        on_failure=dead,
    )
    auditor = Function(
        "orders.auditor.handler",
        src,
        triggers=[Rule(pattern={"source": ["shop"], "detail-type": ["order cancelled"]})],
        on_failure=dead,
    )
    report = Function(
        "orders.report.handler",
        src,
        timeout="5 min",
        uses={"ORDERS": orders.read(), "REPORTS": reports.write()},
        triggers=[Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin")],
        on_failure=dead,
    )

    address = api.url


class Load(Orders):
    """The same, with a longer visibility timeout for load tests: everything that reads the queue follows."""

    inbox = Queue(visibility_timeout="15 min")


if __name__ == "__main__":
    Orders.main()
