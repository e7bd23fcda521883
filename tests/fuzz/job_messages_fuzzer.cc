// SPDX-License-Identifier: Apache-2.0
#include "jobs/messages.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

/// What was understood is sent on as the same message.
template <class Message>
void CheckRoundTrip(const Message& message, Message (*parse)(std::string_view, const std::string&)) {
  const std::string sent = forge::jobs::Encode(message);
  if (sent.size() > forge::jobs::kMostMessageBytes) return;  // replaced numbers may be longer than they were
  FORGE_CHECK(forge::jobs::Encode(parse(sent, "sent")) == sent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = forge::fuzz::Text(data, size);
  forge::fuzz::Expect(
      [&] { CheckRoundTrip(forge::jobs::ParseFromWorker(text, "input"), forge::jobs::ParseFromWorker); });
  return forge::fuzz::Expect(
      [&] { CheckRoundTrip(forge::jobs::ParseToWorker(text, "input"), forge::jobs::ParseToWorker); });
}
