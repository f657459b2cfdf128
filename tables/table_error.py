"""The one exception of tables and their files: every broken rule has a name."""


class TableError(ValueError):
    """A table, or a file that should hold one, breaks a rule.

    `rule` is the name of the broken rule, as FORMAT.md lists them; the C and Rust readers use the same names.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{message} [{rule}]")
        self.rule = rule

    def __reduce__(self) -> tuple[type["TableError"], tuple[str, str]]:
        return type(self), (self.rule, self.args[0].removesuffix(f" [{self.rule}]"))
