"""What transformers' apply_chat_template() does with a template, by python3-jinja2; but the time stands still."""
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2026, 11, 5, 7, 8, 9)


class Generation(jinja2.ext.Extension):
    """{% generation %}: the body, as a macro that is called at once."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("body_of"), [], [], body).set_lineno(line)

    @staticmethod
    def body_of(caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception
ENVIRONMENT.globals["strftime_now"] = NOW.strftime


def compile_template(source):
    """The template, or None if it is refused."""
    try:
        return ENVIRONMENT.from_string(source)
    except Exception:  # whatever jinja2 or Python says of it
        return None


def render(template, context):
    """The text, or None if the template refuses the context."""
    try:
        text = template.render(**context)
        text.encode()  # halves of surrogate pairs are no text
        return text
    except Exception:
        return None
