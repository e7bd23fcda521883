// SPDX-License-Identifier: Apache-2.0
#include "serve/answer_plan.h"
#include "serve/testing_server.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace forge;
  static const serve::testing::TinyModel model(64);
  const serve::PlanLimits limits{.could_run = [](const runtime::ServingRequest&) { return true; }};
  const auto check = [&](const std::variant<serve::ApiRequest, serve::ApiError>& parsed, bool is_chat) {
    const auto* error = std::get_if<serve::ApiError>(&parsed);
    std::variant<serve::AnswerPlan, serve::ApiError> plan;
    if (error == nullptr) {
      plan = serve::PlanAnswer(model.Served(), limits, std::get<serve::ApiRequest>(parsed), is_chat);
      error = std::get_if<serve::ApiError>(&plan);
    }
    if (error != nullptr) {
      FORGE_CHECK(error->status == 400 && !error->message.empty());
      return;
    }
    for (const runtime::ServingRequest& sequence : std::get<serve::AnswerPlan>(plan).sequences) {
      FORGE_CHECK(!sequence.prompt->empty() && sequence.prompt->size() <= 64);
      FORGE_CHECK(sequence.options.max_new_tokens >= 0 && sequence.options.top_p > 0);
      for (const int token : *sequence.prompt) FORGE_CHECK(token >= 0 && token < text::kByteVocabSize);
    }
  };
  const std::string_view text = fuzz::Text(data, size);
  check(serve::ParseCompletionRequest(text), false);
  check(serve::ParseChatRequest(text), true);
  return 0;
}
