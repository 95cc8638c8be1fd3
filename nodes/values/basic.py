"""Basic: numbers, text and choices as nodes, and the little arithmetic between them. All of it is known before Run."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from engine.errors import refuse
from engine.node import Multiline, Range, Seed, node

MAX_EXPRESSION = 1000
MAX_TEXT = 1_000_000
MAX_ITEMS = 10_000


@node(
    "values.int", title="Whole number", output="value", light=True, aliases=["PrimitiveInt", "INTConstant", "integer"]
)
def whole_number(value: int = 0) -> int:
    """A whole number, to wire to several inputs."""
    return value


@node("values.float", title="Number", output="value", light=True, aliases=["PrimitiveFloat", "FloatConstant"])
def number(value: float = 0.0) -> float:
    """A number, to wire to several inputs."""
    return value


@node(
    "values.text",
    title="Text",
    output="value",
    light=True,
    aliases=["PrimitiveString", "PrimitiveStringMultiline", "PrimitiveNode"],
)
def text(value: Annotated[str, Multiline(prompt=True, names="nodes.prompt.writing:names")] = "") -> str:
    """Text, to wire to several inputs."""
    return value


@node("values.bool", title="Yes or no", output="value", light=True, aliases=["PrimitiveBoolean"])
def truth(value: bool = False) -> bool:
    """True or false, to wire to several inputs."""
    return value


@node("values.seed", title="Seed", output="value", light=True, aliases=["Seed", "Seed (rgthree)"])
def seed(value: Seed = 0) -> int:
    """One seed for several nodes."""
    return value


class Computed(NamedTuple):
    """The result, and the same rounded to a whole number (half to even)."""

    number: float
    whole: int


@node(
    "values.math",
    title="Math",
    light=True,
    aliases=["MathExpression", "SimpleMath+", "ComfyMathExpression", "arithmetic"],
)
def compute(expression: str = "a", **values: float) -> Computed:
    """A formula over the wired values, by their names: `a * 2`, `max(a, b)`, `a if a > b else b`.

    Knows + - * / // % **, comparisons, and, or, not, abs, min, max, round, floor, ceil, sqrt, exp, log, sin, cos, tan,
    clamp(x, low, high), pi. Nothing else is run.
    """
    result = float(evaluate(expression, values))
    if not math.isfinite(result):
        raise refuse(f"'{expression}' is {result}", socket="expression")
    return Computed(result, round(result))


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,  # of floats: 9 ** 9 ** 9 overflows instead of filling the memory
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    **{name: getattr(math, name) for name in ("floor", "ceil", "sqrt", "exp", "log", "sin", "cos", "tan")},
    "abs": abs,
    "min": min,
    "max": max,
    "round": lambda x, digits=0.0: round(x, int(digits)),
    "clamp": lambda x, low, high: max(low, min(high, x)),
}


def evaluate(expression: str, values: Mapping[str, float]) -> float:
    """The value of an arithmetic expression over named numbers; only what the tables above list can happen."""
    try:
        if len(expression) > MAX_EXPRESSION:
            raise refuse(f"the expression is longer than {MAX_EXPRESSION} characters", socket="expression")
        return float(_value(ast.parse(expression.strip(), mode="eval").body, values))
    except SyntaxError as error:
        raise refuse(
            f"'{expression}' is no formula: {error.msg}", socket="expression", mend="write a + b, say"
        ) from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise refuse(f"'{expression}' cannot be computed: {error}", socket="expression") from None
    except (RecursionError, MemoryError):
        raise refuse("the expression is nested too deeply", socket="expression") from None


def _value(tree: ast.expr, values: Mapping[str, float]) -> Any:
    match tree:
        case ast.Constant(value=bool() | int() | float() as literal):
            return float(literal)
        case ast.Name(id=name) if name in values:
            return float(values[name])
        case ast.Name(id="pi"):
            return math.pi
        case ast.Name(id=name):
            known = ", ".join(values) or "none yet"
            raise refuse(f"there is no value '{name}'", socket="expression", mend=f"values are: {known}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, values))
        case ast.BoolOp(op=op, values=parts):
            decides = isinstance(op, ast.Or)
            for part in parts[:-1]:
                if bool(found := _value(part, values)) == decides:
                    return found
            return _value(parts[-1], values)
        case ast.Compare(left=left, ops=ops, comparators=right) if all(type(op) in _COMPARE for op in ops):
            terms = [_value(one, values) for one in (left, *right)]
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, terms, terms[1:], strict=False))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(one, values) for one in args))
    raise refuse(f"'{ast.unparse(tree)[:60]}' is not allowed in a formula", socket="expression")


_FIELD = re.compile(r"\{\{|\}\}|\{([^{}:!]*)(?::([^{}]*))?\}|[{}]")
_FORMAT = re.compile(r"[<>^]?[+-]?0?\d{0,3}[,_]?(\.\d{1,2})?[a-zA-Z%]?")


@node("values.format", title="Format text", output="text", light=True, aliases=["StringFormat"])
def format_text(template: Annotated[str, Multiline(prompt=True)] = "{a}", **values: Any) -> str:
    """Text with values put in: `a {colour} cube, {n:03}`; after the colon Python's number formats. `{{` is a brace."""

    def put(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        name, form = match[1], match[2] or ""
        if name is None or name not in values:
            known = ", ".join(values) or "none yet"
            raise refuse(f"there is no value for '{match[0]}'", socket="template", mend=f"values are: {known}")
        value = values[name]
        if not isinstance(value, str | int | float | bool):
            raise refuse(f"'{name}' is no text or number", socket="values")
        whole = isinstance(value, float) and value.is_integer() and not form
        try:
            if not _FORMAT.fullmatch(form):
                raise ValueError("unknown format")
            return format(int(value) if whole else value, form)
        except ValueError:
            raise refuse(f"'{form}' is no format for '{name}'", socket="template", mend="try {name:.2f}") from None

    return _bounded(_FIELD.sub(put, template))


@node("values.join", title="Join texts", output="text", light=True, aliases=["StringConcatenate", "JoinStrings"])
def join(*texts: str, separator: str = ", ") -> str:
    """Several texts as one; empty ones are left out."""
    return _bounded(separator.join(one for one in texts if one.strip()))


def _bounded(result: str) -> str:
    if len(result) > MAX_TEXT:
        raise refuse(f"the text would have {len(result):,} characters, the limit is {MAX_TEXT:,}")
    return result


@node("values.lines", title="Split into lines", output="lines", light=True, aliases=["MultilineToList", "prompt list"])
def lines(text: Annotated[str, Multiline(prompt=True)] = "") -> list[str]:
    """A list with one text for each line that is not empty, for `map`."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if len(found) > MAX_ITEMS:
        raise refuse(f"{len(found):,} lines, the limit is {MAX_ITEMS:,}", socket="text")
    return found


@node("values.range", title="Number range", output="numbers", light=True, aliases=["FloatRange", "linspace"])
def number_range(
    start: float = 0.0, stop: float = 1.0, count: Annotated[int, Range(1, MAX_ITEMS, 1, soft=(2, 16))] = 5
) -> list[float]:
    """`count` numbers from `start` to `stop`, both included, evenly spaced; for `map`."""
    if count == 1:
        return [start]
    return [start + (stop - start) * index / (count - 1) for index in range(count)]


@node("values.seeds", title="Seeds", output="seeds", light=True, aliases=["seed list", "SeedList"])
def seeds(first: Seed = 0, count: Annotated[int, Range(1, MAX_ITEMS, 1, soft=(2, 16))] = 4) -> list[int]:
    """`count` seeds in a row from the first one; for `map`."""
    if first + count > 2**64:
        raise refuse("the last seed would be larger than 2^64 - 1", socket="first")
    return list(range(first, first + count))
