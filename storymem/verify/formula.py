"""A velocity field written as text ("v(x, t) = 0.7 x + 0.3 sin(3 x) - 0.2") as a function, without `eval`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

from stbench.errors import UserError

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "exp": torch.exp, "abs": torch.abs}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def parse(text: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The function (x, t) → v of a formula; a number before a name multiplies it, what stands in trailing brackets is a remark.

    Raises:
        UserError: Anything but numbers, x, t, + - * / ^ and a few functions.

    Example:
        >>> parse("v(x, t) = 2 x + cos(t / 250) - 0.5  (fp32)")(torch.tensor(1.0), torch.tensor(0.0))
        tensor(2.5000)
    """
    body = re.sub(r"\s{2,}\(.*\)\s*$", "", text.partition("=")[2] or text).strip()
    body = re.sub(r"(\d|\))\s+(?=[a-zA-Z(])", r"\1 * ", body).replace("^", "**")
    try:
        tree = ast.parse(body, mode="eval").body
        _check(tree)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"the velocity {text!r} is not understood ({error})", expected="numbers, x, t, + - * / and sin, cos, …") from error
    return lambda x, t: torch.as_tensor(_value(tree, {"x": x, "t": t}))


def _check(node: ast.expr) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            _check(inner)
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in _FUNCTIONS:
            _check(inner)
        case ast.Name(id="x" | "t") | ast.Constant(value=int() | float()):
            pass
        case _:
            raise ValueError(ast.unparse(node))


def _value(node: ast.expr, names: dict[str, torch.Tensor]) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(operand=inner):
            return -_value(inner, names)
        case ast.Call(func=ast.Name(id=name), args=[inner]):
            return _FUNCTIONS[name](_value(inner, names))
        case ast.Name(id=name):
            return names[name]
        case ast.Constant(value=value):
            return value
    raise ValueError(ast.dump(node))
