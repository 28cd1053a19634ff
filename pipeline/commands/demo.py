"""`auditfuse demo`: the main job told as a story."""


def demo() -> None:
    """Run the main job on this machine in under a minute, told as a story.

    Example:

      auditfuse demo
    """
    from pipeline.demo.story import tell

    tell()
