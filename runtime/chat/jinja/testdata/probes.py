#!/usr/bin/env python3
"""Renders small templates in transformers' environment (transformers 4.57.3, jinja2 3.1) and writes probes.json.

    python3 probes.py          (pip install transformers==4.57.3 jinja2)
"""
import json
from transformers.utils.chat_template_utils import _compile_jinja_template as comp
P = r'''
{{ true }} {{ True }} {{ none }} {{ None }} {{ false }}
{{ [1,'a',none,true,1.0] }}
{{ {'a':1,'b':[1,2]} }}
{{ 'x' ~ true ~ none ~ 1.0 ~ [1] }}
{{ 1.0 }} {{ 1/2 }} {{ 4/2 }} {{ 7//2 }} {{ -7//2 }} {{ -7 % 3 }} {{ 2**10 }} {{ 2**-1 }}
{{ 1e20 }} {{ 1.5e-7 }} {{ 123456789012345678 }} {{ 3.14159 }}
{{ 'a' * 3 }} {{ [1]*2 }}
{{ "a'b" }} {{ ["a'b", 'c"d', "é\n"] }}
{{ messages|tojson }}
{{ messages|tojson(indent=2) }}
{{ {'b':1,'a':'<é&>'}|tojson }} {{ 'a"\\\n\t\u2028'|tojson }}
{{ {'b':1,'a':2}|tojson(sort_keys=true) }} {{ [1.0, 1e20, none, true]|tojson }}
{{ {'b':1,'a':[1,2]}|tojson(separators=(',', ':')) }}
{{ 'é'|tojson(ensure_ascii=true) }}
{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].content }}
{{ messages[0].nope }}|{{ messages[0].nope is defined }}|{{ nope is defined }}|{{ nope }}
{{ nope.x }}
{{ messages[99] }}|{{ messages[99].x }}
{% for m in messages[1:] %}{{ m.role }},{% endfor %}
{% for m in messages[::-1] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }},{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }};{% else %}none{% endfor %}
{% for m in [] %}x{% else %}empty{% endfor %}
{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.index0 == 3 %}{% break %}{% endif %}{{ m.role }} {% endfor %}
{% set ns = namespace(x=0, y='a') %}{% for m in messages %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}{{ ns.y }}
{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 5 %}{% endif %}{{ x }}
{{ loop is defined }}{% for k, v in {'a':1,'b':2}.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in {'z':1,'b':2} %}{{ k }}{% endfor %}{% for k, v in {'z':1,'b':2}|items %}{{ k }}{{ v }}{% endfor %}
{% for k, v in {'z':1,'b':2}|dictsort %}{{ k }}{{ v }}{% endfor %}
{{ ' a b '|trim }}|{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xa'.lstrip('x') }}|{{ 'ax'.rstrip('x') }}
{{ 'a,b,c'.split(',') }} {{ 'a b  c'.split() }} {{ 'a</think>b</think>c'.split('</think>')[-1] }} {{ 'a b c'.split(' ', 1) }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith(('x','a')) }}
{{ 'abc'.upper() }}{{ 'ABC'.lower() }}{{ 'hello world'.title() }}{{ 'hello world'.capitalize() }}
{{ 'a-b-c'.replace('-', '+') }}{{ 'a-b-c'.replace('-', '+', 1) }}{{ 'abc'.find('c') }}{{ 'abca'.count('a') }}{{ 'abc'.index('b') }}
{{ 'abc'|upper }}{{ 'ABC'|lower }}{{ 'hello world'|title }}{{ 'hELLO'|capitalize }}{{ 'abc'|length }}{{ messages|length }}{{ 'é'|length }}
{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abc'[1:] }}{{ 'abc'[:-1] }}{{ 'abc'[::-1] }}{{ 'aé日'[1] }}
{{ 'a' in 'abc' }}{{ 'a' not in 'abc' }}{{ 'role' in messages[0] }}{{ 'x' in ['x'] }}{{ 1 in [1,2] }}{{ 1 in (1,2) }}
{{ messages[0].get('role') }}{{ messages[0].get('nope') }}{{ messages[0].get('nope', 'd') }}
{{ messages[0].keys()|list }} {{ messages[0].values()|list }}
{{ messages|map(attribute='role')|join(',') }} {{ messages|map(attribute='role')|list }}
{{ messages|selectattr('role','equalto','user')|list|length }} {{ messages|rejectattr('role','equalto','user')|map(attribute='role')|list }}
{{ messages|selectattr('role','==','user')|map(attribute='content')|first }}
{{ [3,1,2]|sort }}{{ [3,1,2]|sort(reverse=true) }}{{ [1,2,3]|sum }}{{ [1,2]|max }}{{ [1,2]|min }}{{ [1,2,3]|first }}{{ [1,2,3]|last }}{{ [1,2]|reverse|list }}{{ 'abc'|reverse }}
{{ [1,1,2]|unique|list }} {{ ['b','A']|sort }} {{ 'abc'|list }}
{{ nope|default('d') }}{{ none|default('d') }}{{ none|default('d', true) }}{{ ''|default('d', true) }}{{ nope|d('z') }}
{{ 1 if nope else 2 }}{{ 1 if [] else 2 }}{{ 1 if '' else 2 }}{{ 1 if 0 else 2 }}{{ 1 if {} else 2 }}|{{ 1 if false }}|
{{ nope is none }}{{ none is none }}{{ 'a' is string }}{{ 1 is string }}{{ [] is iterable }}{{ 'a' is iterable }}{{ {} is mapping }}{{ [] is mapping }}{{ [] is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}
{{ 1 is number }}{{ true is number }}{{ true is boolean }}{{ 1 is boolean }}{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 2 is even }}{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is eq 1 }}{{ 1 is sameas 1 }}{{ 'a' is in 'abc' }}
{{ nope is undefined }}{{ not nope }}{{ nope == none }}{{ nope == '' }}
{{ not true and false or true }}{{ 1 and 2 }}{{ 0 or 'x' }}{{ '' or none }}{{ none and 1 }}
{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ true == 1 }}
{{ 'a' + 'b' }}{{ 1 + 2 }}{{ [1] + [2] }}{{ 1 + 1.0 }}{{ true + 1 }}
{{ 'a' + 1 }}
{{ 'a' + nope }}
{{ nope + 'a' }}
{{ 'a' ~ nope ~ 'b' }}
{% macro f(x, y=2) %}[{{ x }}{{ y }}]{% endmacro %}{{ f(1) }}{{ f(1, y=3) }}{{ f('a','b') }}
{% macro f(x) %}{{ x }}:{{ caller() }}{% endmacro %}{% call f(1) %}body{% endcall %}
{% set x %}block {{ 1 }}{% endset %}{{ x }}|{{ x|length }}
{% filter upper %}abc{% endfilter %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set t = (1, 2) %}{{ t }}{{ t[0] }}{{ (1,) }}{{ () }}
{{ raise_exception('bad') }}
{% if 1 %}yes{% elif 2 %}no{% else %}n{% endif %}
{%- if 1 -%}  yes  {%- endif -%}  x
{#- comment -#}  a {# c #} b
{% raw %}{{ x }}{% endraw %}
{% generation %}abc{% endgeneration %}d
{% with a = 1 %}{{ a }}{% endwith %}
{{ range(3)|list }}{{ range(1,4)|list }}{{ range(0,10,3)|list }}{% for i in range(2) %}{{ i }}{% endfor %}{{ range(3) }}
{{ dict(a=1) }}{{ 'a b'|replace(' ', '_') }}{{ 'abc'|string }}{{ 1|string ~ 'x' }}{{ '3'|int + 1 }}{{ '3.5'|float }}{{ 3.7|int }}{{ 3.14159|round(2) }}{{ 3.5|round }}{{ -3|abs }}
{{ 'a\nb'|indent(2) }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\nb'|indent }}
{{ '%s-%d' % ('a', 1) }}
{{ '%s'|format('a') }} {{ '{}-{}'.format(1,'b') }}
{{ "it's <b>&" }}{{ '<'|e }}{{ '<'|escape }}{{ '<b>'|safe }}
{{ 'line1\nline2' }}{{ 'tab\there' }}{{ '\u00e9' }}{{ '\x41' }}{{ 'a\'b' }}{{ 'a\qb' }}{{ "a" "b" }}
{{ {'a':{'b':1}}.a.b }}{{ {'a':{'b':1}}['a']['b'] }}
{% for a in [[1,2],[3,4]] %}{% for b in a %}{{ b }}{{ loop.last }}{% endfor %}{% endfor %}
{% for x, y in [[1,2],[3,4]] %}{{ x }}{{ y }}{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if loop.nextitem is defined }};{% endfor %}
{% for m in messages %}{{ loop.cycle('a','b') }}{{ loop.changed(m.role) }}{% endfor %}
{{ bos_token }}{{ eos_token }}{{ pad_token }}|{{ unk_token is defined }}
{{ messages is string }}{{ messages[0] is mapping }}{{ messages[0].content is string }}{{ messages[0].content is not none }}{{ tools is none }}{{ tools is defined }}{{ documents }}
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages|length }}
{{ 'a'.join(['x','y']) }}{{ ','.join(messages|map(attribute='role')) }}{{ ['a','b']|join }}{{ [1,none]|join('-') }}
{{ 'abc'.isdigit() }}{{ '12'.isdigit() }}{{ 'abc'.isalpha() }}{{ 'ab\ncd'.splitlines() }}{{ 'a.b'.partition('.') }}{{ 'a.b.c'.rsplit('.',1) }}{{ 'prefix-x'.removeprefix('prefix-') }}
{{ messages[0].role.upper().lower()|upper }}
{{ (messages|last).role }}{{ (messages|first)['role'] }}{{ messages|first|length }}
{{ [1,2,3][1:]|list }}{{ [1,2,3][-2:] }}{{ [1,2,3,4][::2] }}
{{ [1,2] is iterable and [1,2] is not string }}
{{ 5 is greaterthan 3 }}{{ 5 is gt(3) }}{{ 'abc' is lower }}{{ 'A' is upper }}
{{ ['a','b','c']|batch(2)|list }}{{ [1,2,3]|slice(2)|list }}
{{ [{'a':1},{'a':2}]|map(attribute='a')|sum }}{{ [{'a':1},{'a':2}]|sum(attribute='a') }}{{ ['a','B']|map('upper')|list }}{{ [1,2,3]|select('odd')|list }}{{ [0,1]|select|list }}{{ [1,2]|reject('eq',1)|list }}
{{ [{'g':'a','v':1},{'g':'a','v':2}]|groupby('g')|list|length }}
{{ messages.append({'role':'x'}) }}
{{ messages[0].update({'a':1}) }}
{{ ''.__class__ }}
{{ messages.__class__.__mro__ }}
{{ 'a'|nosuch }}
{{ 'a'.nosuch() }}
{{ nosuch() }}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{% block a %}in{% endblock %}
{{ lipsum is defined }}{{ cycler is defined }}{{ joiner is defined }}{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b
{{ strftime_now('%Y') is string }}{{ strftime_now is defined }}
{{ 10 // 0 }}
{{ 'abc' | truncate(2) }}{{ 'a b c'|wordcount }}{{ 'abc'|center(7) }}|
{{ 12345678901234567890 }} {{ 9223372036854775807 + 1 }}
{{ {1:'a'}[1] }}{{ {1:'a', true:'b'} }}
{{ {'a':1} == {'a':1} }}{{ [1,2] == [1,2] }}{{ [1,2] == (1,2) }}
{% set x = namespace() %}{% set x.a = [] %}{% set x.a = x.a + [1] %}{{ x.a }}
{% set d = {'a':1} %}{% set d = dict(d, b=2) %}{{ d }}
{{ messages|length > 1 and messages[0].role != 'x' }}
{{- '<|im_start|>' + messages[0].role + '\n' + messages[0].content + '<|im_end|>\n' -}}
  {% if 1 %}
  indented
  {% endif %}
  {{ 1 }}
{{ 1 }} 
x
{{ '\\n' }}{{ "\"" }}
{{ (1, 2)|tojson }}{{ messages[0].role|tojson }}{{ nope|tojson }}
{{ ([1,2]|tojson)|length }}{{ {}|tojson }}{{ []|tojson(indent=4) }}{{ {'a':[]}|tojson(indent=4) }}
{{ 'x'|string is string }}{{ 1|float }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ true|int }}
{{ [1,[2,3]]|tojson }} {{ 0.1+0.2 }} {{ 1e16 }} {{ 1e15 }} {{ 100000.0*1000 }}
{% for c in 'aé' %}{{ c }},{% endfor %}
{% for k in messages[0] %}{{ k }}{% endfor %}
{{ messages[0] }}
{{ messages[1]['content'][0]['text'] if messages[1]['content'] is not string else messages[1].content }}
{% set content = messages[0].content %}{% if content is string %}{{ content }}{% else %}{% for p in content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}{% endif %}
{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ 'mismatch' }}{% endif %}{% endfor %}
{% set x = 'a' if false %}{{ x }}{{ x is defined }}
{{ 'a' if nope is defined and nope else 'b' }}
{{ messages|attr('nope') }}{{ messages[0]|attr('role') }}
{{ 3 in range(5) }}{{ 'abc'|first }}{{ 'abc'|last }}{{ ''|first }}
{{ not 1 in [2] }}{{ -1 ** 2 }}{{ 2 * 3 + 4 }}{{ (2 + 3) * 4 }}{{ 10 - 2 - 3 }}{{ 2 ** 3 ** 2 }}
{{ 'a' ~ 1 + 2 }}{{ 'a' ~ 'b'|upper }}{{ -3|abs }}{{ 1 is odd and 2 is even }}
{{ 'ß'.upper() }}{{ 'İ'.lower() }}{{ 'ǆ'.title() }}{{ 'x y'.title() }}{{ "they're"|title }}{{ "they're".title() }}
{{ '\u00a0x\u00a0'.strip() }}|{{ '\u200bx'.strip()|length }}|{{ '\x1cx'|trim }}
'''.strip('\n').split('\n')
MESSAGES=[{"role":"system","content":"You are é."},{"role":"user","content":"Hi <b> \"q\""},{"role":"assistant","content":"yo\n"},{"role":"user","content":" bye "}]
# More of them, from a second hunt for differences.
P += json.loads(r'''
[
"{{ messages|map(attribute='content')|map('trim')|list }}",
"{{ messages|map('upper')|list|length }}",
"{{ messages|selectattr('role')|list|length }}{{ messages|selectattr('nope')|list|length }}{{ messages|selectattr('role','defined')|list|length }}{{ messages|selectattr('role','in',['user','x'])|list|length }}",
"{{ messages|map(attribute='nope', default='d')|join }}",
"{{ messages|groupby('role')|length }}",
"{% for role, items in messages|groupby('role') %}{{ role }}{{ items|length }}{% endfor %}",
"{{ messages[1:][0].role }}{{ messages[:-1]|length }}{{ messages[-2:]|map(attribute='role')|join(' ') }}",
"{{ messages[10:] }}{{ messages[-100:100]|length }}{{ 'abc'[5:] }}{{ 'abc'[-10:2] }}{{ 'abc'[2:0] }}{{ 'abcdef'[4:1:-1] }}{{ 'abcdef'[::2] }}",
"{{ \"a\\tb\"|tojson }}{{ \"\\x00\\x1f\\x7f\"|tojson }}{{ '🙂'|tojson(ensure_ascii=true) }}{{ '🙂'|tojson }}",
"{{ {'a':none,'b':true,'c':1.50,'d':[],'e':{}}|tojson(indent=2) }}",
"{{ [1,[2,[3]]]|tojson(indent=1) }}{{ {'a':1}|tojson(indent='\\t') }}{{ {'a':1}|tojson(indent=0) }}",
"{{ {1:2, none:3, true:4, 1.5:6}|tojson }}",
"{{ 'a'|tojson|tojson }}{{ 1|tojson }}{{ none|tojson }}{{ true|tojson }}",
"{{ ('a'|safe) ~ '<' }}{{ ('a'|safe) + '<' }}{{ '<'|e + '<' }}{{ ('<b>'|e)|length }}",
"{{ 'a' 'b' ~ 'c' }}",
"{{ 1 ~ 2 }}{{ 1 ~ none }}{{ [] ~ {} }}",
"{%- set x -%}  a  {%- endset -%}[{{ x }}]",
"{% set x %}a{% endset %}{{ x is string }}{{ x.upper() }}",
"{% set x | upper %}abc{% endset %}{{ x }}",
"{% set ns = namespace(found=false) %}{% for m in messages if not ns.found %}{% set ns.found = true %}{{ m.role }}{% endfor %}",
"{% for m in messages %}{% if m.role == 'assistant' %}{% break %}{% endif %}{{ loop.index }}{% else %}E{% endfor %}",
"{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{% endfor %}",
"{% for i in [1,2,3] %}{% set y = i %}{% endfor %}{{ y is defined }}",
"{% for i in [1,2] %}{% if i == 1 %}{% set z = 'q' %}{% endif %}{{ z is defined }}{% endfor %}",
"{% if true %}{% for i in [1] %}{% set a = 1 %}{% endfor %}{% set b = 2 %}{% endif %}{{ a is defined }}{{ b }}",
"{% macro m(a, b='B', c=none) -%} {{ a }}{{ b }}{{ c }} {%- endmacro %}[{{ m('x') }}][{{ m('x', c=1) }}][{{ m(b='z', a='y') }}]",
"{% macro m() %}{{ messages|length }}{% endmacro %}{{ m() }}",
"{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * fact(n-1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}",
"{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}|{{ m(1)|length }}|{{ m(1) + 'x' }}|{{ m('a').upper() }}",
"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, b=2) }}",
"{% set f = 3 %}{% macro m() %}{{ f }}{% endmacro %}{% set f = 4 %}{{ m() }}",
"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
"{% call(x) f2() %}{{ x }}{% endcall %}",
"{% macro f2() %}<{{ caller('v') }}>{% endmacro %}{% call(x) f2() %}[{{ x }}]{% endcall %}",
"{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m(5) }}{{ x }}",
"{{ namespace(a=1).a }}{{ namespace({'b': 2}, c=3).c }}",
"{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = [] %}{% set ns.x = ns.x + ['a'] %}{{ ns.x|join }}",
"{% set d = dict(messages[0], extra=1) %}{{ d.extra }}{{ d.role }}{{ d|length }}",
"{% set d = {'a': 1, 'b': 2} %}{{ d|dictsort(reverse=true) }}{{ d|dictsort(by='value') }}{{ d.keys()|list }}{{ d.values()|sum }}{{ d.items()|list }}{{ d.keys() }}",
"{% set d = {'B': 1, 'a': 2} %}{{ d|dictsort }}{{ d|dictsort(true) }}{{ d|sort }}{{ d|list }}{{ d|first }}",
"{{ {'a':1}.items() }}{{ {'a':1}.get('b', 'x') }}{{ {'a':1}.get('b') is none }}{{ {'a':1}['b'] is defined }}{{ 'a' in {'a':1} }}",
"{{ (1,2)[0] }}{{ (1,2)|length }}{{ (1,2) + (3,) }}{{ (1,2)|list }}{{ () is sequence }}{{ [(1,2)]|first|last }}",
"{{ 'a,b;c'.replace(',', ' ').replace(';', ' ').split() }}{{ 'A-B'.lower().split('-')|join('+') }}",
"{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxyxx'.strip('xy') }}|{{ '\\n\\nx\\n'.strip('\\n') }}|{{ 'abc'.lstrip('ba') }}",
"{{ 'a b c d'.split(' ', 2) }}{{ 'a b c d'.rsplit(' ', 1) }}{{ 'abc'.split('x') }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a  b'.split(' ') }}{{ ' a b '.split(none, 1) }}{{ 'a b c '.rsplit(none, 1) }}{{ 'a,b,c'.split(',', maxsplit=1) }}{{ 'a,b'.split(sep=',') }}",
"{{ 'abcabc'.find('c', 3) }}",
"{{ 'abcabc'.rfind('b') }}{{ 'abc'.find('z') }}{{ 'éa'.find('a') }}",
"{{ 'abc'.index('z') }}",
"{{ 'a\\nb\\r\\nc\\x0bd'.splitlines() }}{{ 'a\\n'.splitlines() }}{{ 'a\\nb'.splitlines(true) }}{{ ''.splitlines() }}",
"{{ 'hello'.capitalize() }}{{ 'hELLO wORLD'.title() }}{{ 'aBc'.swapcase() }}{{ 'ŉ'.upper() }}{{ 'ΑΣ'.lower() }}{{ 'ﬁx'.capitalize() }}{{ 'ﬁx'.title() }}",
"{{ '42'.zfill(5) }}{{ '-42'.zfill(5) }}{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}|{{ 'ab'.center(5, '*') }}{{ 'a'.center(4, '*') }}{{ 'abc'.center(6,'*') }}",
"{{ '１２'.isdigit() }}{{ '²'.isdigit() }}{{ '½'.isdigit() }}{{ 'aé'.isalpha() }}{{ 'a1'.isalnum() }}{{ ' \\t'.isspace() }}{{ ''.isspace() }}{{ 'aB'.islower() }}{{ 'a1'.islower() }}{{ '1'.islower() }}{{ 'AB'.isupper() }}",
"{{ 'x'.join('abc') }}{{ ', '.join(['a']) }}{{ '-'.join([]) }}",
"{{ '-'.join([1,2]) }}",
"{{ 'abcb'.partition('b') }}{{ 'abcb'.rpartition('b') }}{{ 'abc'.rpartition('z') }}",
"{{ 'TestFoo'.removesuffix('Foo') }}{{ 'TestFoo'.removeprefix('x') }}{{ 'aXbX'.count('X') }}{{ 'aaa'.count('aa') }}{{ 'abc'.count('') }}",
"{{ 'abc'.replace('', '-') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'aaa'.replace('a', '') }}",
"{{ '{0}-{1}-{0}'.format('a', 2) }}{{ '{a}{b}'.format(a=1, b='x') }}{{ '{{}}'.format() }}{{ '{}'.format(none) }}",
"{{ '{:>5}'.format('a') }}",
"{{ '%s and %s' % ('a', none) }}{{ '%d%%' % 5 }}{{ '%s' % 'x' }}{{ '%s' % [1] }}{{ '%r' % 'x' }}",
"{{ '%s %s' % ('a',) }}",
"{{ 7 / 2 }}{{ 7 // 2 }}{{ 7 % 3 }}{{ -7 // 2 }}{{ 7 // -2 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 2 ** 0.5 }}{{ 0.1 * 3 }}{{ 1e3 }}{{ 100 * 1.1 }}{{ 3 * 1.0 }}",
"{{ 1_000 }}{{ 0x1f }}{{ 0b11 }}{{ 0o17 }}{{ 1.5e3 }}{{ 1E5 }}{{ .5 if false else 'n' }}",
"{{ 5|float }}{{ '1e3'|float }}{{ 'x'|float }}{{ 'x'|float(2) }}{{ '7.9'|int }}{{ '0x1A'|int }}{{ ' 5 '|int }}{{ none|int }}{{ 3.99|int }}{{ -3.99|int }}{{ '1_000'|int }}",
"{{ 2.5|round }}{{ 3.5|round }}{{ 2.675|round(2) }}{{ 1234.5678|round(1) }}{{ 2.3|round(0, 'ceil') }}{{ 2.7|round(method='floor') }}{{ 5|round }}{{ 0.5|round }}{{ -0.5|round }}",
"{{ 1 < 2 }}{{ 'a' < 'B' }}{{ [1,2] < [1,3] }}{{ (1,) < (2,) }}{{ 1 <= 1.0 }}{{ true > false }}{{ true + true }}{{ 'a' == 'a' }}{{ none == none }}{{ [] == [] }}{{ {} == {} }}{{ 1 == '1' }}{{ none == false }}{{ 0 == false }}",
"{{ 1 < 'a' }}",
"{{ none < 1 }}",
"{{ none in [none] }}{{ 'x' in none }}",
"{{ 5 in 'abc5' }}",
"{{ none.x is defined }}{{ none.x }}{{ (none).foo is undefined }}",
"{{ none.x.y }}",
"{{ none() }}",
"{{ 1.real }}",
"{{ (1).bit_length is defined }}",
"{{ none|length }}",
"{{ 5|length }}",
"{{ true|length }}",
"{{ [1,2,3]|join(', ') }}{{ 'abc'|join('-') }}{{ {'a':1}|join('-') }}{{ [none, true, 1.0]|join('|') }}{{ nope|join('-') }}{{ [['a','b'],['c']]|map('join','+')|list }}",
"{{ [1,2,3]|last }}{{ []|last }}{{ []|first }}{{ 'abc'|last }}{{ {'a':1,'b':2}|last }}",
"{{ [3,1,2]|sort|first }}{{ ['b','A','c']|sort }}{{ ['b','A','c']|sort(case_sensitive=true) }}{{ messages|sort(attribute='content')|map(attribute='role')|list }}{{ [1,'a']|sort }}",
"{{ [1,2,2,'a','A']|unique|list }}{{ messages|unique(attribute='role')|list|length }}{{ [1,2]|min }}{{ ['b','A']|max }}{{ []|max }}{{ messages|max(attribute='role') }}",
"{{ [1,2,3,4,5]|batch(2, 0)|list }}{{ [1,2,3]|reverse|first }}{{ [1,[2]]|string }}{{ 'a'|list }}{{ range(5)|select('even')|list }}{{ range(5)|reject('even')|map('string')|list }}",
"{{ ['a','']|select|list }}{{ [1,2,3]|select('gt', 1)|list }}{{ [1,2,3]|select('in', [1,3])|list }}{{ ['ab','c']|select('match')|list }}",
"{{ 'hello world foo'|truncate(8) }}{{ 'a'|center(5) }}|{{ 'foo bar'|wordcount }}{{ 'x'|indent(4, first=true) }}{{ 'a\\n\\nb'|indent(2) }}{{ 'a\\n\\nb'|indent(2, blank=true) }}{{ 'a\\nb\\n'|indent('>>') }}",
"{{ 'foo-bar (baz) [x] {y} <z'|title }}{{ \"o'neil mc_x\"|title }}{{ 'ÉCOLE'|lower }}{{ 'ab cd'|capitalize }}{{ 5|upper }}{{ none|upper }}{{ true|lower }}",
"{{ '  a '|trim }}|{{ 'xax'|trim('x') }}|{{ 5|trim }}|{{ none|trim }}|{{ nope|trim }}|",
"{{ nope|upper }}{{ nope|list }}{{ nope|first is undefined }}{{ nope|default }}|{{ nope|string }}|{{ nope|length }}{{ nope|replace('a','b') }}|",
"{{ nope|int }}",
"{{ nope|float }}",
"{{ nope.a|default('x') }}",
"{{ messages[0].a.b|default('x') }}",
"{{ messages[0].a|default('x') }}{{ messages[0]['a']|default('x', true) }}{{ (messages[0].a or 'y') }}{{ messages[0].a if messages[0].a else 'z' }}",
"{% if messages[0].a is defined and messages[0].a %}1{% else %}2{% endif %}{% if not messages[0].a %}3{% endif %}{% if messages[0].a == 'x' %}4{% endif %}{% if messages[0].a != 'x' %}5{% endif %}{% if messages[0].a in ['x'] %}6{% endif %}",
"{% if messages[0]['content'] is string and messages[0]['content'] | length > 3 %}y{% endif %}{% if 'é' in messages[0].content %}z{% endif %}{% if messages[0] is mapping and 'role' in messages[0] and messages[0].role in ('system', 'user') %}w{% endif %}",
"{% if (messages | length) % 2 == 0 %}even{% endif %}{{ loop_messages | default([]) | length }}{{ messages | length - 1 }}{{ (messages|length - 1)|string }}",
"{{ 'a' if messages|length > 2 else 'b' if messages else 'c' }}{{ ('x' if false) is undefined }}{{ 'x' if false else '' }}{{ not (1 if 0) }}",
"{{ 'it''s' }}{{ \"tab\\tx\" }}{{ 'a\\\\b' }}{{ '\\'' }}{{ \"\\\"\" }}{{ '\\u4e2d' }}{{ '\\101' }}{{ '\\a'|length }}",
"{{ \"line one\nline two\" }}{{ 'x' -}}   y",
"a {{- ' b ' -}} c",
"a {#- x -#} c {# y #}",
"  {% set a = 1 %}  \nb",
"  {%+ set a = 1 %}  \nq",
"{% if true +%}\nx\n{% endif +%}\nq",
"{{ '{{ not }}' }}{% raw %}{% if %}{{ x }}{# #}{% endraw %}z",
"{%- raw -%}  a  {%- endraw -%}  b",
"\t{%- if true %}\tx\t{%- endif %}\t",
"{% if 1 %}a{% endif %}{% if 0 %}b{% elif 1 %}c{% else %}d{% endif %}",
"{% for x in [] -%} a {%- else -%} b {%- endfor -%} c",
"{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
"{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}",
"{% with a = 1, b = a %}{{ b }}{% endwith %}",
"{% filter upper|replace('A', 'x') %}abc{{ 'a' }}{% endfilter %}",
"{% filter indent(2) %}a\nb{% endfilter %}",
"{% block b scoped %}x{% endblock b %}",
"{% autoescape true %}{{ '<' }}{% endautoescape %}",
"{% do messages.append(1) %}",
"{{ range(10)[3] }}{{ range(3)|length }}{{ range(2, 8, 2)|list }}{{ range(5, 0, -2)|list }}{{ 2 in range(3) }}{{ range(0)|list }}",
"{{ range(200000)|length }}",
"{{ messages|length.__class__ }}",
"{{ messages.0.role }}{{ messages.1['role'] }}",
"{{ loop }}",
"{% for m in messages %}{{ loop|length }}{{ loop.depth }}{{ loop.revindex0 }}{% endfor %}",
"{% for k in messages[0].keys() %}{{ k }}{% endfor %}{% for v in messages[0].values() %}{{ v }}{% endfor %}{% for k, v in messages[0].items() %}{{ loop.index }}{{ k }}{% endfor %}{{ messages[0].items()|length }}{{ messages[0].items()|list|first|first }}",
"{% for a, (b, c) in [[1,[2,3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
"{% for a, b in [[1,2,3]] %}{% endfor %}",
"{% for a in 5 %}{% endfor %}",
"{% for a in none %}{% endfor %}",
"{% for a in nope %}x{% else %}e{% endfor %}",
"{% set a = b = 1 %}",
"{% set a, b = [1, 2] %}{{ a + b }}{% set (c, d) = (3, 4) %}{{ c }}{{ d }}",
"{% set a = 1, 2 %}{{ a }}",
"{% set messages.x = 1 %}",
"{{ [1,2,3,] }}{{ {'a':1,} }}{{ (1,2,) }}{{ [] }}{{ {} }}{{ [[]] }}",
"{{ {'get': 1}['get'] }}{{ {'x': {'items': [1]}}.x['items'] }}",
"{{ 1 if true else nope.x }}{{ true or nope.x }}{{ false and nope.x }}",
"{{ (1, 'a', none) }}{{ {'k': (1,)} }}{{ ['\\\\', \"'\", '\"', '\\'\"'] }}{{ ['\\x00\\u200b\\xa0é🙂\\U000e0001'] }}{{ {none: true} }}",
"{{ 1e22 }}{{ 1.0e-5 }}{{ 123456789.123456789 }}{{ 1e100 }}{{ 5e-324 }}{{ 0.0001 }}{{ 0.00001 }}{{ -0.0 }}{{ 1e15 }}{{ 1e16 }}",
"{{ true is sameas true }}{{ none is sameas none }}{{ 1 is eq 1.0 }}{{ 'a' is ne 'b' }}{{ 3 is lt 4 }}{{ 3 is ge 3 }}{{ 3 is divisibleby(2) }}{{ 'x' is escaped }}{{ range is callable }}{{ 1 is callable }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ 'nope' is filter }}",
"{{ 1.5 is number }}{{ 1.5 is integer }}{{ '1' is number }}{{ none is string }}{{ [] is string }}{{ 'a' is mapping }}{{ nope is string }}{{ nope is mapping }}{{ nope is iterable }}{{ nope is sequence }}{{ nope is number }}{{ 5 is iterable }}{{ none is iterable }}",
"{{ messages is iterable and messages is not mapping }}{{ messages is sequence }}{{ messages[0].items() is iterable }}{{ messages|map(attribute='role') is iterable }}",
"{{ 1 is nosuch }}",
"{{ strftime_now('%d %b %Y')|length }}{{ strftime_now('%Y-%m-%d')[4] }}",
"{{ raise_exception() }}",
"{{ raise_exception('a ' ~ 1) }}",
"{{ joiner('x') is callable }}{% set s = joiner() %}{{ s() }}{{ s() }}",
"{{ cycler('a','b').next() }}",
"{{ lipsum(n=1)|length > 0 }}",
"{{ messages|tojson|length }}{{ messages[1:2]|tojson }}{{ messages|first|tojson }}{{ {'messages': messages}|tojson(indent=4)|length }}",
"{{ messages|map(attribute='role')|tojson }}",
"{{ namespace()|tojson }}",
"{{ range(3)|tojson }}",
"{{ messages[0].keys()|tojson }}",
"{{ 'a'|attr('x') is defined }}{{ messages|attr('x') }}|",
"{{ 'x' is in ['x'] }}{{ 'x' is not in ['x'] }}{{ not 'x' in ['x'] }}{{ 'x' not in ['y'] and 1 }}",
"{{ 1 == 1 == 1 }}{{ 1 < 2 > 1 }}{{ 1 in [1] in [[1]] }}",
"{{ -1 }}{{ --1 }}{{ +1 }}{{ - 1 }}{{ 2 - -1 }}{{ not not 1 }}{{ -'a' }}",
"{{ 'a' * 0 }}{{ 2 * 'ab' }}{{ [1] * 2 }}{{ 'a' * -1 }}{{ 'a' * true }}",
"{{ 1 / 0 }}",
"{{ 1 % 0 }}",
"{{ 1.0 // 0 }}",
"{{ [1] + 'a' }}",
"{{ [1] + (2,) }}",
"{{ {} + {} }}",
"{{ 'a' - 'b' }}",
"{{ 'a' + 'b' | upper }}{{ ('a' + 'b') | upper }}{{ -1 | abs }}{{ 2 + 3 | string }}",
"{{ 'x' | default('y') | upper | lower | length | string | length }}"
]
''')
out=[]
for p in P:
    c=dict(template=p)
    try: c['want']=comp(p).render(messages=MESSAGES,tools=None,documents=None,add_generation_prompt=True,bos_token='<s>',eos_token='</s>')
    except Exception as e: c['error']=type(e).__name__+': '+str(e)
    out.append(c)
json.dump(dict(messages=MESSAGES,cases=out),open(__file__.replace('.py','.json'),'w'),ensure_ascii=False,indent=1)
print(len(out), sum('error' in c for c in out))
