"""Templates at random, out of what the language has: most of them make no sense, and that is the point."""
import random

ATOMS = """1|0|-1|2.5|1e16|true|false|none|'abc'|''|'a b  c'|"it's"|'é猫😀'|' a,b,,c '|[1,2,3]|[]|['b','A','a']|{'a':1,'b':[2]}|{}|(1,2)|(1,)|()
nope|s|n|d|l|msgs|u|range(3)|f|i|msgs[0]|'<b>&'~''|'%s %d'|'{} {a}'|'\\n x\\ty\\n'|[d,d]|dict(a=1)|10**3|'x'*3|1_0|0x1f|'1.5'|' 42 '
[[1,2],[3]]|[{'a':2},{'a':1}]|'a' 'b'|('<b>'|safe)""".replace("('<b>'|safe)", "\0").replace("\n", "|").split("|")
ATOMS[ATOMS.index("\0")] = "('<b>'|safe)"
FILTERS = """abs;attr('x');batch(2)|list;capitalize;center(9);count;d('z');default('q', true);dictsort;e;first;float;format(1);groupby('a');indent
indent(2, true);int;int(7);items|list;join;join(', ');last;length;list;lower;map('upper')|list;map(attribute='a')|list;max;min;reject('none')|list
rejectattr('a')|list;replace('a','b');replace('a','bb',1);reverse|list;round;round(1);safe;select('string')|list;select|list;slice(2)|list
selectattr('a','defined')|list;sort;sort(reverse=true);string;sum;title;tojson;tojson(indent=2);tojson(ensure_ascii=true);tojson(sort_keys=true)
trim;trim('a');truncate(5);unique|list;upper;urlencode;wordcount;map('int')|list;sort(attribute='a');select('in',[1,'a'])|list;max(attribute='a')
tojson(separators=(',',':'));dictsort(by='value')""".replace("\n", ";").split(";")
METHODS = """upper();lower();strip();strip('a ');lstrip();rstrip('\\n');split();split(',');split('a',1);split(None,1);rsplit(None,1);rsplit('a',1)
startswith('a');endswith(('a','c'));replace('a','xx');replace('','-');title();capitalize();find('b');rfind('a');count('a');index('a');join(['x','y'])
join('pq');splitlines();splitlines(true);partition('a');rpartition('a');zfill(6);center(7,'*');ljust(6);rjust(6,'é');isdigit();isalpha();isupper()
istitle();swapcase();format(1,a=2);items();keys();values();get('a');get('zz','d');items()|list;removeprefix('a');removesuffix('c')""".replace(
    "\n", ";").split(";")
TESTS = """defined;undefined;none;string;number;integer;float;mapping;sequence;iterable;boolean;true;false;odd;even;divisibleby(2);eq(1);in([1,2,'a'])
lower;upper;callable;sameas(none);gt(1);ne('a');not none;not string;lt 3""".replace("\n", ";").split(";")
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
INDICES = ["0", "-1", "5", "'a'", "'items'", "nope", "none", "'nope'", "true"]
SLICES = ["1:", "::-1", "::2", ":-1", "-2:", "1:2", "-5:9:2", ":0", "3:1:-1"]
TEXTS = ["x", "\n", "  \n ", "a\n\n", "\t", " ", "{", "}", "%}", "é", ""]
CONTEXT = {"s": "Hello, wörld\n  a", "n": None, "d": {"a": 1, "b": "x", "items": [1]}, "l": [3, "a", None, 2.0], "u": "<|im_end|>", "f": 1.0,
           "i": 7, "msgs": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": None, "a": [1]}]}


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def any(self, *choices):
        return self.random.choice(choices)

    def expression(self, depth=3):
        if depth == 0:
            return self.any(*ATOMS)
        inner = lambda: self.expression(depth - 1)
        kinds = [(4, lambda: self.any(*ATOMS)),
                 (4, lambda: f"{inner()}|{self.any(*FILTERS)}"),
                 (3, lambda: f"({inner()}).{self.any(*METHODS)}"),
                 (2, lambda: f"({inner()})[{self.any(*INDICES)}]"),
                 (1, lambda: f"{self.any('s', 'l', 'u', 'msgs', 'n')}[{self.any(*SLICES)}]"),
                 (1, lambda: f"({inner()} is {self.any(*TESTS)})"),
                 (4, lambda: f"({inner()} {self.any(*OPERATORS)} {inner()})"),
                 (1, lambda: f"({inner()} if {inner()} else {inner()})"),
                 (1, lambda: f"({inner()} if {inner()})"),
                 (1, lambda: f"not {inner()}"),
                 (1, lambda: f"-{inner()}"),
                 (1, lambda: f"[{inner()}, {inner()}]"),
                 (1, lambda: f"{{'k': {inner()}, {self.any('1', 'none', 'true')}: {inner()}}}")]
        return self.random.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()

    def output(self):
        return f"{{{{{self.any('', '-')} {self.expression()} {self.any('', '-')}}}}}"

    def tag(self, words):
        return f"{{%{self.any('', '-', '+', '')} {words} {self.any('', '-', '+', '')}%}}"

    def body(self, depth):
        parts = [self.output, lambda: self.any(*TEXTS), lambda: self.any(*TEXTS), lambda: self.statement(depth - 1)]
        return "".join(self.any(*parts)() for _ in range(self.random.randint(0, 3)))

    def statement(self, depth):
        if depth <= 0:
            return self.output()
        tag, body, any_ = self.tag, lambda: self.body(depth), self.any
        name = any_("v", "w", "s", "l", "ns.a")
        macro = any_("m", "k")
        makers = [
            lambda: tag(f"if {self.expression(2)}") + body() + tag(f"elif {self.expression(2)}") + body() + tag("else") + body() + tag("endif"),
            lambda: tag(f"if {self.expression(2)}") + body() + tag("endif"),
            lambda: tag(f"for {any_('x', 'x, y', 'v', '(x, y), z')} in {self.expression(2)}{any_('', '', ' if ' + self.expression(1))}") + body() +
            any_("", "{{ x }}", "{{ loop.index }}{{ loop.last }}", "{{ loop.previtem }},{{ loop.nextitem }}", tag("break"), tag("continue"),
                 "{{ loop.length }}{{ loop.revindex0 }}", "{{ loop.cycle('p','q') }}", "{{ loop.changed(x) }}") + body() +
            any_("", tag("else") + body()) + tag("endfor"),
            lambda: tag(f"set {name} = {self.expression()}"),
            lambda: tag(f"set v, w = {self.expression()}"),
            lambda: tag(f"set {name}{any_('', ' | upper', ' | trim', ' | indent')}") + body() + tag("endset"),
            lambda: tag(f"macro {macro}(a, b='x')") + body() + any_("", "{{ a }}{{ b }}", "{{ varargs }}{{ kwargs }}", "{{ caller() }}") +
            tag("endmacro"),
            lambda: "{{ %s(%s) }}" % (macro, any_("", "1", "1, 2", "1,2,3", "b=2", "a=1", "c=4", "*[1,2]", "**{'a':3}")),
            lambda: tag(f"call {macro}({any_('', '1')})") + body() + tag("endcall"),
            lambda: tag(f"filter {any_('upper', 'trim', 'indent(1)')}") + body() + tag("endfilter"),
            lambda: tag(f"with v = {self.expression(2)}{any_('', ' , w=1')}") + body() + tag("endwith"),
            lambda: tag("generation") + body() + tag("endgeneration"),
            lambda: any_("{#", "{#-") + any_("", " c ", "\n") + any_("#}", "-#}", "+#}") + tag("raw") + any_(*TEXTS) + tag("endraw")]
        return any_(*makers)()

    def template(self):
        parts = [self.output, lambda: self.any(*TEXTS), lambda: self.statement(3)]
        return "{% set ns = namespace(a=1) %}" + "".join(self.any(*parts)() for _ in range(self.random.randint(1, 4)))


def templates(count, seed):
    maker = Maker(seed)
    return [maker.template() for _ in range(count)]
