"""How the server's connections are shared by the previews. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The server's connections: what it has, what is promised, what is in use."""

    max_connections: int
    reserved: int
    """For superusers, and for previewd itself."""
    granted: Mapping[str, int]
    """The limit of every role that may log in and has one, by name."""
    in_use: Mapping[str, int]
    """Sessions by role, previewd's own and those of roles without a limit included."""

    @property
    def usable(self) -> int:
        return max(0, self.max_connections - self.reserved)

    @property
    def free(self) -> int:
        """What may still be promised; negative when limits were promised by somebody else's arithmetic."""
        return self.usable - sum(self.granted.values())

    def allows(self, role: str, connections: int) -> bool:
        """Whether `role` may have this limit. What it has by now is given back first."""
        return connections <= self.free + self.granted.get(role, 0)

    def refusal(self, connections: int) -> str:
        """The arithmetic, for whoever has to wait."""
        return (
            f"the previews' Postgres has {self.usable} connections to give ({self.max_connections} less "
            f"{self.reserved} in reserve), {sum(self.granted.values())} of them are promised to {len(self.granted)} "
            f"database{'' if len(self.granted) == 1 else 's'}, and this one needs {connections}"
        )
