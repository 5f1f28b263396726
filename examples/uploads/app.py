"""Files that are put into a bucket are counted in a table; what fails is kept.

python examples/uploads/app.py local
"""

from lambdaform import Bucket, Function, PythonCode, Queue, Stack, Table


class Uploads(Stack):
    """Counts what is uploaded."""

    lost = Queue(retention="14 days")
    files = Bucket()
    counts = Table(partition_key="kind")

    counter = Function(
        "counter.handler",
        PythonCode("src"),
        timeout="10 s",
        uses={"COUNTS": counts.read_write()},
        triggers=[files.objects(suffix=".csv")],
        on_failure=lost,
    )


if __name__ == "__main__":
    Uploads.main()
