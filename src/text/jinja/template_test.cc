// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/template.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/philox.h"
#include "io/atomic_file.h"
#include "io/sha256.h"
#include "text/testing_vectors.h"

namespace forge::text::jinja {
namespace {

io::OrderedJson Cases() {
  return io::OrderedJson::parse(
      io::ReadFile(std::filesystem::path(FORGE_SOURCE_DIR) / "src/text/jinja/template_cases.json"));
}

// scripts/make_jinja_cases.py: what the real Jinja makes of these templates.
TEST(ChatTemplate, GivesTheTextOfTheRealJinja) {
  const io::OrderedJson file = Cases();
  int rendered = 0, refused = 0;
  for (const io::OrderedJson& golden : file["cases"]) {
    const std::string source = golden["template"];
    if (golden.contains("expected")) {
      ++rendered;
      try {
        EXPECT_EQ(Template(source).Render(file["variables"]), golden["expected"].get<std::string>())
            << source;
      } catch (const Error& error) {
        ADD_FAILURE() << source << "\n" << error.what();
      }
    } else {
      ++refused;
      EXPECT_THROW(Template(source).Render(file["variables"]), Error) << source;
    }
  }
  EXPECT_GT(rendered, 50);
  EXPECT_GT(refused, 20);
}

std::string ErrorOf(const std::string& source) {
  try {
    Template(source).Render(io::OrderedJson::object());
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatTemplate, NamesTheLineAndTheConstructThatItDoesNotSupport) {
  EXPECT_NE(ErrorOf("a\nb\n{% include 'x' %}").find("line 3"), std::string::npos);
  EXPECT_NE(ErrorOf("{% include 'x' %}").find("include"), std::string::npos);
  EXPECT_NE(ErrorOf("\n{{ 1 | pprint }}").find("line 2"), std::string::npos) << ErrorOf("\n{{ 1 | pprint }}");
  EXPECT_NE(ErrorOf("{{ 1 | pprint }}").find("filter pprint"), std::string::npos);
  EXPECT_NE(ErrorOf("\n\n{{ raise_exception('roles') }}").find("roles"), std::string::npos);
}

// Each was found by the fuzzer.
TEST(ChatTemplate, SaysWhichTypeAFilterNeeds) {
  EXPECT_NE(ErrorOf("{{ 'a' | indent(nothing) }}").find("indent takes"), std::string::npos);
  EXPECT_NE(ErrorOf("\n{{ nothing | round }}").find("line 2"), std::string::npos);
  EXPECT_NE(ErrorOf("{{ nothing | round }}").find("not an undefined value"), std::string::npos);
}

// The environment of lm-evaluation-harness: no trimming, the last newline kept, undefined values refused.
TEST(JinjaDialect, SwitchesTrimmingStrictnessAndFilters) {
  const io::OrderedJson variables{{"x", "b"}, {"list", {"a", "b"}}};
  const std::string source = "  {% if x %}\n{{ x }}{% endif %}\n";
  EXPECT_EQ(Template(source).Render(variables), "b");
  const Dialect dialect{.what = "doc_to_text",
                        .trims_blocks = false,
                        .keeps_last_newline = true,
                        .is_strict = true,
                        .filters = {{"twice", Function([](const Arguments& a) -> Value {
                                       return a.positional[0].Text() + a.positional[0].Text();
                                     })}}};
  EXPECT_EQ(Template(source, dialect).Render(variables), "  \nb\n");
  EXPECT_EQ(Template("{{ x | twice }}{{ list | map('twice') | join(',') }}", dialect).Render(variables),
            "bbaa,bb");
  EXPECT_EQ(Template("{{ list.index('b') }}", dialect).Render(variables), "1");
  EXPECT_THROW(Template("{{ list.index('c') }}", dialect).Render(variables), Error);
  EXPECT_EQ(Template("[{{ y }}]").Render(variables), "[]");
  try {
    Template("\n{{ y }}", dialect).Render(variables);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fields().what, "cannot apply doc_to_text, line 2");
    EXPECT_EQ(error.fields().why, "'y' is undefined");
  }
}

TEST(ChatTemplate, TakesTheClockOfATest) {
  Template date("{{ strftime_now('%d %b') }}");
  date.SetClock([](const std::string& format) { return "<" + format + ">"; });
  EXPECT_EQ(date.Render(io::OrderedJson::object()), "<%d %b>");
}

TEST(ChatTemplate, BoundsDepthTurnsAndLength) {
  EXPECT_NE(ErrorOf("{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}").find("deep"),
            std::string::npos);
  EXPECT_NE(ErrorOf("{{ " + std::string(100000, '-') + "1 }}").find("deep"), std::string::npos);
  EXPECT_NE(ErrorOf("{{ not " + std::string(5000, '[') + std::string(5000, ']') + " }}").find("deep"),
            std::string::npos);
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{% if 1 %}";
  EXPECT_NE(ErrorOf(nested).find("deep"), std::string::npos);
  EXPECT_NE(
      ErrorOf("{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}").find("million"),
      std::string::npos);
  EXPECT_NE(ErrorOf("{{ 'abc' * 1000000000 }}").find("long"), std::string::npos);
  EXPECT_NE(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("deep"), std::string::npos);
  EXPECT_NE(
      ErrorOf("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}")
          .find("million"),
      std::string::npos);
  EXPECT_NE(
      ErrorOf("{% set n = namespace(x='a') %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}")
          .find("longer"),
      std::string::npos);
  EXPECT_NE(ErrorOf("{{ 9223372036854775807 + 1 }}").find("large"), std::string::npos);
  EXPECT_NE(ErrorOf("{{ 99999999999999999999 }}").find("large"), std::string::npos);
}

// Any text gives a result or an Error, never a crash.
TEST(ChatTemplate, SurvivesDamagedTemplates) {
  const io::OrderedJson file = Cases();
  Random random(1, "damage");
  for (const io::OrderedJson& golden : file["cases"])
    for (int i = 0; i < 40; ++i) {
      std::string source = golden["template"];
      for (int change = 0; change < 3 && !source.empty(); ++change) {
        const std::size_t at = random.Below(source.size());
        if (i % 3 == 0) source.erase(at);
        if (i % 3 == 1) source[at] = "{}%|.[]()'\"\\-\n a0"[random.Below(17)];
        if (i % 3 == 2) source.insert(at, source.substr(random.Below(source.size()), 5));
      }
      try {
        Template(source).Render(file["variables"]);
      } catch (const Error&) {
      }
    }
}

// ../shared/data: the templates of real models, rendered by transformers.
TEST(ChatTemplate, RendersTheTemplateOfSmolLm2AsTransformersDoes) {
  const std::filesystem::path path = text::testing::SharedData() / "golden/smollm2-135m/chat.json";
  FORGE_SKIP_WITHOUT(path);
  const io::OrderedJson golden = io::OrderedJson::parse(io::ReadFile(path));
  const Template chat(golden["template"].get<std::string>());
  for (const io::OrderedJson& one : golden["cases"]) {
    io::OrderedJson variables{{"messages", one["messages"]}, {"add_generation_prompt", true}};
    EXPECT_EQ(chat.Render(variables), one["with_generation_prompt"].get<std::string>());
    variables["add_generation_prompt"] = false;
    EXPECT_EQ(chat.Render(variables), one["without_generation_prompt"].get<std::string>());
  }
}

// The template of Qwen2.5 with its tools, rendered by transformers 5.23.0 with jinja2 3.1.6; its texts are
// known by their sha256, because the template is not ours to copy.
TEST(ChatTemplate, RendersTheToolsOfQwen25AsTransformersDoes) {
  const std::filesystem::path path = text::testing::SharedData() / "tokenizers/qwen2.5/tokenizer_config.json";
  FORGE_SKIP_WITHOUT(path);
  const std::string tools = R"json([{"type": "function", "function": {"name": "get_weather",
    "description": "Weather of a city, in °C.", "parameters": {"type": "object", "properties": {
      "city": {"type": "string", "description": "The city"}, "days": {"type": "integer", "default": 1}},
      "required": ["city"]}}}])json";
  const std::string calls = R"json({"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}},
    {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Ulm"}}}]})json";
  const std::pair<std::string, std::string> cases[] = {
      {R"({"messages": [{"role": "user", "content": "Hi <b>\n"}], "add_generation_prompt": true})",
       "e18a10a10589badfef39de7c3b98dc6be0f4b92ce25de5c44fd4d1d97549390d"},
      {R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
           {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Nothing."}],
           "add_generation_prompt": false})",
       "34eb43898beef2a2dd031ff1206451693dba555a7c4fcaf6b1960417fd7acf32"},
      {R"({"messages": [{"role": "user", "content": "Weather in Köln?"}], "add_generation_prompt": true,
           "tools": )" +
           tools + "}",
       "f082e86c7375eb6cc64bfdf2f22cc7331cc5e7425337af52d795225916eb4a43"},
      {R"({"messages": [{"role": "system", "content": "Be brief."},
           {"role": "user", "content": "Weather in Köln and Ulm?"}, )" +
           calls + R"(,
           {"role": "tool", "content": "{\"celsius\": 7}"}, {"role": "tool", "content": "9"},
           {"role": "assistant", "content": "7 and 9."}, {"role": "user", "content": "Thanks"}],
           "add_generation_prompt": true, "tools": )" +
           tools + "}",
       "653395a1c42659b8c8dc8e6d7c8e0d1f06e4b3c3923e332a1a471837a30306a1"}};
  const Template qwen(io::ReadJsonFile(path)["chat_template"].get<std::string>());
  for (const auto& [variables, sha256] : cases) {
    const std::string text = qwen.Render(io::OrderedJson::parse(variables));
    EXPECT_EQ(io::Sha256(std::as_bytes(std::span(text))), sha256) << text;
  }
}

}  // namespace
}  // namespace forge::text::jinja
