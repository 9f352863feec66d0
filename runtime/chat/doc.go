// Package chat turns a conversation into the text that a chat model continues, by the chat template in its model
// directory, as transformers' apply_chat_template does.
//
//	t, err := chat.Load("model/")
//	text, err := t.Render(ctx, chat.Conversation{Messages: messages, AddGenerationPrompt: true})
//
// A template is a program of foreign origin: it is run by [jinja], which bounds its work, its memory and its time and
// gives it nothing but the conversation. Special tokens written out in a message are special tokens in the text, as in
// transformers.
package chat
