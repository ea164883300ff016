"""What is done to a chat template before Jinja compiles it: loop turns, literals, slices and `~` become answerable.

Jinja's compiler writes these as plain Python that no hook of the sandbox sees. Here they are led through filters, which
`Sandbox` provides, under names that a template cannot write.
"""

from __future__ import annotations

from typing import NoReturn

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

TICK, MADE, CONCAT = "<tick>", "<made>", "<concat>"


class Generation(Extension):
    """`{% generation %}` marks what an assistant said, for training: here only its content counts."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class Instrument(NodeTransformer):
    """Puts the budget where Jinja's compiler would write plain Python, and refuses what loads other templates."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        tick = _filter(TICK, nodes.Const(None, lineno=node.lineno))
        node.body.insert(0, nodes.ExprStmt(tick, lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(CONCAT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(MADE, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_literal(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        variable = any(not isinstance(child, nodes.Const) for child in node.iter_child_nodes())
        return _filter(MADE, node) if variable and getattr(node, "ctx", "load") == "load" else node

    visit_List = visit_Dict = visit_Tuple = visit_literal  # noqa: N815

    def visit_loader(self, node: nodes.Stmt) -> NoReturn:
        raise TemplateSyntaxError("a chat template cannot load another", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = visit_loader  # noqa: N815


def _filter(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
