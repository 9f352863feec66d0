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
out=[]
for p in P:
    c=dict(template=p)
    try: c['want']=comp(p).render(messages=MESSAGES,tools=None,documents=None,add_generation_prompt=True,bos_token='<s>',eos_token='</s>')
    except Exception as e: c['error']=type(e).__name__+': '+str(e)
    out.append(c)
json.dump(dict(messages=MESSAGES,cases=out),open(__file__.replace('.py','.json'),'w'),ensure_ascii=False,indent=1)
print(len(out), sum('error' in c for c in out))
