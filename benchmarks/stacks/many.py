"""A stack of as many functions as the environment says, each with role, log group and a queue that feeds it."""

import os

from lambdaform import Function, PythonCode, Queue, Stack

CODE = PythonCode("src")


class Many(Stack):
    """So many functions."""

    def build(self) -> None:
        """A queue and a function that reads it, again and again."""
        for number in range(int(os.environ.get("MANY", "1000"))):
            queue = self.add(f"jobs-{number}", Queue(visibility_timeout="3 min"))
            self.add(
                f"worker-{number}",
                Function("worker.handler", CODE, timeout="30 s", triggers=[queue.messages(batch_size=10)]),
            )


if __name__ == "__main__":
    Many.main()
