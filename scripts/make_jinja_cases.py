#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/jinja/template_cases.json: templates, variables and what the real Jinja (pip install jinja2==3.1.6)
makes of them, set up as transformers sets it up for chat templates. Run it after adding a case here."""
import json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
import jinja2, jinja2.ext

def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)

environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
environment.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
    x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
environment.globals["raise_exception"] = raise_exception

V = {"a": 3, "b": -7, "f": 2.5, "s": "Hello wörld", "e": "", "t": True, "n": None, "l": [1, "zwei", 3.0, None, True],
     "nums": [5, 3, 9, -1], "d": {"z": 1, "a": {"x": [1, 2]}, "text": "q'uote \"d\" <&> \n"},
     "messages": [{"role": "system", "content": " be brief "}, {"role": "user", "content": "hi\nthere"},
                  {"role": "assistant", "content": "yo", "tool_calls": [{"function": {"name": "add", "arguments": {"b": 1, "a": [2.5, "ü"]}}}]}],
     "words": ["beta", "Alpha", "gamma", "alpha"], "people": [{"n": "x", "age": 3, "ok": True}, {"n": "y", "age": 1}, {"n": "z", "age": 2, "ok": False}]}

CASES = r"""
plain text
{{ s }}|{{ e }}|{{ t }}|{{ n }}|{{ missing }}|{{ l }}|{{ d }}
{{ a + 2 }} {{ a - b }} {{ a * b }} {{ a / 2 }} {{ b // 2 }} {{ b % 4 }} {{ 2 ** 10 }} {{ -a }} {{ +a }} {{ 2 ** -1 }} {{ -2 ** 2 }}
{{ f * 2 }} {{ 7.0 // 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 1e22 }} {{ 123456789.125 }} {{ 1.0 }} {{ 1e-7 }}
{{ 'a' + "b" 'c' }} {{ 'x' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] + [2, 3] }} {{ [0] * 2 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' == 'a' }} {{ 'a' != 1 }} {{ true == 1 }} {{ 'b' > 'a' }} {{ [1,2] == [1,2] }} {{ {'a':1} == {'a':1} }}
{{ 'ell' in s }} {{ 'x' not in s }} {{ 1 in l }} {{ 'z' in d }} {{ not t }} {{ not (a == 3) }} {{ a and b }} {{ e or 'other' }} {{ n or e }} {{ 0 and missing.x }}
{{ 'yes' if t else 'no' }} {{ 'yes' if n }}| {{ a if a > 5 else b if b > 5 else 'none' }}
{{ l[0] }} {{ l[-1] }} {{ l[99] }} {{ s[1] }} {{ s[-1] }} {{ d['a']['x'][1] }} {{ d.a.x.0 }} {{ d.nope }} {{ d['nope'] }}|
{{ l[1:3] }} {{ l[::-1] }} {{ l[:-2] }} {{ l[-2:] }} {{ s[::2] }} {{ s[6:] }} {{ s[7:2:-1] }} {{ l[10:] }} {{ s[-100:3] }} {{ nums[::-2] }}
{{ s | upper }} {{ s | lower }} {{ s | title }} {{ s | capitalize }} {{ s | length }} {{ l | length }} {{ d | length }} {{ missing | length }} {{ '  x ' | trim }}|{{ 'xxaxx' | trim('x') }}
{{ l | first }} {{ l | last }} {{ s | first }} {{ [] | first }}| {{ nums | sort }} {{ nums | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ people | sort(attribute='age') | map(attribute='n') | join(',') }}
{{ nums | join('-') }} {{ nums | join }} {{ people | join('+', attribute='n') }} {{ nums | max }} {{ nums | min }} {{ nums | sum }} {{ people | sum(attribute='age') }} {{ words | unique | list }} {{ words | map('upper') | list }}
{{ missing | default('d') }} {{ e | default('d') }}| {{ e | default('d', true) }} {{ n | d('x') }} {{ n | default('x', boolean=true) }}
{{ people | selectattr('ok') | map(attribute='n') | list }} {{ people | rejectattr('ok') | map(attribute='n') | list }} {{ people | selectattr('age', 'gt', 1) | map(attribute='n') | list }} {{ people | selectattr('n', 'equalto', 'y') | list }} {{ nums | select('odd') | list }} {{ nums | reject('gt', 4) | list }} {{ people | selectattr('ok', 'defined') | list | length }}
{{ d | tojson }} {{ l | tojson }} {{ s | tojson }} {{ messages[2].tool_calls | tojson }} {{ f | tojson }} {{ 3.0 | tojson }}
{{ d | tojson(indent=2) }}
{{ [] | tojson(indent=4) }}{{ {} | tojson }}{{ {'a': []} | tojson(indent=1) }}
{{ s | replace('l', 'L') }} {{ s | replace('l', 'L', 1) }} {{ s | reverse }} {{ nums | reverse | list }} {{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '4.7' | int }} {{ 3.9 | int }} {{ '2.5' | float }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ -3 | abs }} {{ 5 | string ~ '!' }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\nb' | indent(width=1, first=True) }}
{{ d | dictsort }} {{ d | items | list }} {{ d.keys() | list }} {{ d.values() | list | length }} {{ d.get('z') }} {{ d.get('q') }} {{ d.get('q', 5) }}
{{ ' x y '.strip() }}|{{ 'xxa'.lstrip('x') }}|{{ 'axx'.rstrip('x') }}|{{ 'a,b,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ' a  b '.split() }}|{{ 'a  b c'.split(none, 1) }}|{{ s.startswith('Hell') }}|{{ s.endswith(('x', 'ld')) }}|{{ s.upper() }}|{{ s.replace('l', '') }}|{{ ', '.join(words) }}|{{ s.find('o') }}|{{ s.find('ld') }}|{{ s.count('l') }}|{{ 'a\nb'.splitlines() }}|{{ '12'.isdigit() }}|{{ 'the end'.title() }}|{{ 'ABC def'.capitalize() }}
{% if a == 3 %}three{% elif a == 4 %}four{% else %}other{% endif %} {% if missing %}x{% endif %}|{% if not missing is defined %}undefined{% endif %}
{% for x in nums %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for x in [] %}x{% else %}empty{% endfor %} {% for k, v in d.items() %}{{ k }};{% endfor %} {% for k in d %}{{ k }} {% endfor %} {% for c in 'añb' %}[{{ c }}]{% endfor %} {% for x in missing %}x{% else %}none{% endfor %}
{% for x in nums if x > 0 %}{{ loop.index0 }}{{ x }}{{ loop.first }}{{ loop.revindex }} {% endfor %}
{% for x in nums %}{% if x == 9 %}{% break %}{% endif %}{% if x == 3 %}{% continue %}{% endif %}{{ x }} {% endfor %}
{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.cycle('odd', 'even') }} {% endfor %}
{% for a in [1, 2] %}{% for b in 'xy' %}{{ a }}{{ b }}{{ loop.depth }} {% endfor %}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = i + 10 %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(n=0, found=false) %}{% for i in nums %}{% set ns.n = ns.n + i %}{% if i == 9 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.n }} {{ ns.found }}
{% set a, b = [1, 2] %}{{ a }}{{ b }} {% set t = 1, 2 %}{{ t | length }} {% set block %}x{{ a }}y{% endset %}[{{ block }}] {% if t %}{% set inside = 5 %}{% endif %}{{ inside }}
{% macro greet(name, end='!') %}Hi {{ name }}{{ end }}{% endmacro %}{{ greet('Bo') }} {{ greet('Al', end='?') }} {{ greet(name='Cy') }}|{{ greet() }}
{% macro outer(x) %}{{ inner(x) }}{% endmacro %}{% macro inner(x) %}<{{ x }}{{ a }}>{% endmacro %}{{ outer(5) }}
{{ 3 is odd }} {{ 4 is even }} {{ a is number }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ s is iterable }} {{ a is iterable }} {{ n is none }} {{ n is not none }} {{ missing is undefined }} {{ l is sequence }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ t is true }} {{ t is boolean }} {{ a is integer }} {{ f is float }} {{ a is eq 3 }} {{ a is in [3] }} {{ 1 is true }}
{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ range(3, 0, -1) | list }} {{ dict(a=1, b='x') }} {{ (1, 2)[1] }} {{ [1, [2, 3]][1][0] }} {{ {'k': 'v', 'w': [1]}['w'] }}
{# a comment #}x{#- another -#} y {# c #}
{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] | trim + '\n\n' %}{% set messages = messages[1:] %}{% else %}{% set system_message = '' %}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{{ '[' + content + ']' }}{% endfor %}
{{ 'tab\there "q" \'s\' back\\slash \u00e9 \d' }} {{ "it's" }}
{{ '{{' }} {{ '%}' }} {{ "a}}b" }} {{ {'a': {'b': 1}} }}
{{ "<a href='x'>" | e }} {{ '<b>' | safe }}
{{ messages | map(attribute='role') | list }} {{ messages | map(attribute='tool_calls', default=0) | list | length }} {{ messages | selectattr('role', 'in', ['user', 'system']) | list | length }}
{{ not a == 4 and 1 in [1] }} {{ (1 if false else 2) + 3 }} {{ a is defined and a > 2 }} {{ 1 + 2 * 3 - 4 / 2 }} {{ 'a' ~ (1 + 2) }}
{{ nums | map('string') | join('/') }} {{ '%' }} {{ 10 % 3 }} {{ nums | length > 3 }} {{ -1 | abs }} {{ nums[0] | string | length }}
""".strip("\n").split("\n")

# Cases of several lines.
MULTI = [
    "a\n  {% if t %}\n    kept\n  {% endif %}\nafter\n", "x\n{%- if t -%}\n   stripped   \n{%- endif -%}\n   end\n\n",
    "line1\n   {%+ if t %}keeps blanks{% endif +%}\nnext\n", "a\n  {{ s }}\n  {{- a }}\n  {{ b -}}\n   z\n",
    "{% for m in messages %}\n  {{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}\ntail", "{# one #}\n  {# two #}\ntext {# three #} more\n",
    "  {% set x = 1 %}  {% set y = 2 %}\n{{ x + y }}\n", "{% if t %}\r\nwindows\r\n{% endif %}\r\n", "\n\n{{ a }}\n\n", "{%- if t -%}   stripped   {%- endif -%}   end",
    "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '<u>' + m.content + '</u>' }}\n    {%- elif m.role == 'assistant' %}\n        {%- for c in m.tool_calls %}\n            {{- c.function | tojson }}\n        {%- endfor %}\n    {%- endif %}\n{%- endfor %}\n",
]
# What must be refused, by the real one and by ours.
BAD = ["{{ missing.x }}", "{{ missing + 1 }}", "{{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ 1 < 'a' }}", "{{ raise_exception('no') }}", "{{ nope() }}", "{{ s.nope() }}",
       "{{ a | nope }}", "{{ a is nope }}", "{% if %}", "{% if a %}", "{{ a", "{% endif %}", "{{ 'open }}", "{% set d.x = 1 %}", "{% for %}{% endfor %}", "{{ a b }}", "{{ ) }}",
       "{% nope %}", "{# open", "{{ [1, 2 }}", "{% for x in 3 %}{% endfor %}", "{% set a, b = [1] %}", "{{ {}[ }}", "{% macro m( %}{% endmacro %}", "{{ none.x.y }}" ]

def attempt(template):
    try:
        return environment.from_string(template).render(**V), None
    except Exception as error:
        return None, type(error).__name__

cases = []
for template in CASES + MULTI:
    text, error = attempt(template)
    if error: sys.exit(f"the real Jinja refuses {template!r}: {error}")
    cases.append({"template": template, "expected": text})
for template in BAD:
    text, error = attempt(template)
    if not error: sys.exit(f"the real Jinja accepts {template!r}: {text!r}")
    cases.append({"template": template, "refused": True})
with open(sys.argv[1] if len(sys.argv) > 1 else "src/text/jinja/template_cases.json", "w") as out:
    json.dump({"jinja2": jinja2.__version__, "variables": V, "cases": cases}, out, ensure_ascii=False, indent=1)
    out.write("\n")
