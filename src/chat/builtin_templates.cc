#include "chat/builtin_templates.h"

namespace st {
namespace {

constexpr std::string_view kChatMl = R"({%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- endif -%})";

// The assistant is called "model"; a system message stands before the user's first text.
constexpr std::string_view kGemma = R"({{- bos_token -}}
{%- set ns = namespace(before='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- if not loop.first -%}{{ raise_exception('a system message comes first') }}{%- endif -%}
{%- set ns.before = message.content + '\n\n' -%}
{%- elif message.role == 'tool' -%}
{{ raise_exception('no results of tools') }}
{%- else -%}
{%- set role = 'model' if message.role == 'assistant' else 'user' -%}
{{ '<start_of_turn>' + role + '\n' + ns.before + message.content | trim + '<end_of_turn>\n' }}
{%- set ns.before = '' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<start_of_turn>model\n' }}
{%- endif -%})";

}  // namespace

std::string_view builtin_chat_template(std::string_view name) {
  if (name == "chatml") return kChatMl;
  if (name == "gemma") return kGemma;
  return {};
}

}  // namespace st
