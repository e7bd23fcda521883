// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "hub/hub_answers.h"
#include "hub/repo.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    const forge::hub::RevisionInfo info =
        forge::hub::ParseRevisionInfo(forge::fuzz::Text(data, size), "input");
    FORGE_CHECK(forge::hub::IsCommit(info.commit));
    for (const std::string& file : info.files) FORGE_CHECK(forge::hub::IsSafeFileName(file));
  });
}
