// Package jinja renders chat templates: the part of Jinja 2.x that they use, in the environment that transformers'
// apply_chat_template gives them (trim_blocks, lstrip_blocks, loop controls, generation blocks, tojson, raise_exception,
// strftime_now, an immutable sandbox).
//
// Its rule is equal text or an error. Values are those of Python: True prints as True, dictionaries keep their order,
// 7 // -2 is -4, an undefined name prints nothing but can't be added to a string. What is not built here (include,
// import, recursive loops, some filters) is refused by name where it is reached. docs/adr/ says why this is not one of
// the libraries there are.
//
// A template comes with a checkpoint, from anyone, so rendering is bounded: it reads no file and no environment, its work
// and its output have limits (see [Limits]), and it ends with its context.
//
//	t, err := jinja.Parse("{{ bos_token }}{% for m in messages %}…{% endfor %}")
//	text, err := t.Render(ctx, jinja.Dict("messages", messages, "bos_token", "<s>"), jinja.Limits{})
package jinja
