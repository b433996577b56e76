/* chat_template.h - how a conversation becomes one text for the demo model: a role and its words a line.
 *
 *      System: You are a helpful assistant.\n
 *      User: In the beginning\n
 *      Assistant: God created the heaven and the earth.</s>\n
 *      User: And the earth\n
 *      Assistant: ...
 *
 * The text is what GGUF files carry as tokenizer.chat_template for engines that run Jinja; the builtin
 * engine knows this one template and refuses chats with models that want another.
 */
#ifndef CORTEN_RUNTIME_CHAT_TEMPLATE_H
#define CORTEN_RUNTIME_CHAT_TEMPLATE_H

#define CHAT_TEMPLATE                                                   \
    "{% for message in messages %}"                                     \
    "{% if message['role'] == 'user' %}{{ 'User: ' }}"                  \
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' }}"      \
    "{% elif message['role'] == 'tool' %}{{ 'Tool: ' }}"                \
    "{% else %}{{ 'System: ' }}{% endif %}"                             \
    "{{ message['content'] }}"                                          \
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}" \
    "{{ '\\n' }}{% endfor %}"                                           \
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"

/* Tokens of a byte-level vocabulary that the template adds to one message: the begin token, "Assistant: ",
 * the end token and a line end, and "Assistant: " for the answer. */
#define CHAT_TEMPLATE_TOKENS_MAX 25u

#endif
