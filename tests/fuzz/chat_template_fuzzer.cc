// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_input.h"
#include "text/jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const forge::io::OrderedJson variables = forge::io::OrderedJson::parse(R"({
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b>"},
                 {"role": "assistant", "content": null, "tool_calls": [{"name": "f", "arguments": {"x": 1.5}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": {"type": "number"}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})");
  return forge::fuzz::Expect(
      [&] { forge::text::jinja::Template(forge::fuzz::Text(data, size)).Render(variables); });
}
