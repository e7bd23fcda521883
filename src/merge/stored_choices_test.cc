// SPDX-License-Identifier: Apache-2.0
#include "merge/stored_choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "io/atomic_file.h"
#include "merge/testing_tensor_tasks.h"

namespace forge::merge {
namespace {

using merge::testing::TaskOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

class StoredChoicesFile : public ::testing::Test {
 protected:
  ~StoredChoicesFile() override { std::filesystem::remove(path_); }

  /// One tensor of four bytes.
  StoredChoices Read(const std::string& name, const std::string& type, const std::string& bytes) {
    const std::string header =
        R"({")" + name + R"(":{"dtype":")" + type + R"(","shape":[2,2],"data_offsets":[0,4]}})";
    const std::uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof length);
    io::WriteFileAtomically(path_, file + header + bytes);
    return ReadStoredChoices(path_, {"models/base", "models/ft1+adapter", "ft2/"});
  }

  /// What is wrong with it, when it is read for a tensor of `columns`.
  std::string Problem(const std::string& name, const std::string& type, const std::string& bytes,
                      std::size_t columns = 4) {
    try {
      Read(name, type, bytes)(Task(columns), 2);
    } catch (const Error& error) {
      return error.fields().why;
    }
    return "";
  }

  static TensorTask Task(std::size_t columns = 4) {
    return TaskOf({.method = "ties",
                   .inputs = std::vector<std::vector<float>>(3, std::vector<float>(columns)),
                   .base = 0,
                   .tensor = "lm_head.weight"});
  }

  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("forge_choices_" + std::to_string(getpid()) + ".safetensors");
};

const std::string kBits("\1\0\0\1", 4);

TEST_F(StoredChoicesFile, FindsAChoiceByTheLastComponentOfTheModelAndTheTensor) {
  EXPECT_THAT(Read("ft2/lm_head.weight", "U8", kBits)(Task(), 2), Optional(ElementsAre(1, 0, 0, 1)));
  EXPECT_EQ(Read("ft2/lm_head.weight", "U8", kBits)(Task(), 1), std::nullopt);
  EXPECT_EQ(Read("ft2/model.norm.weight", "U8", kBits)(Task(), 2), std::nullopt);
  EXPECT_THAT(Read("ft1+adapter/lm_head.weight", "U8", kBits)(Task(), 1), Optional(ElementsAre(1, 0, 0, 1)));
}

TEST_F(StoredChoicesFile, FindsASelectionForAllModels) {
  EXPECT_THAT(Read("select/lm_head.weight", "U8", kBits)(Task(), std::nullopt),
              Optional(ElementsAre(1, 0, 0, 1)));
}

TEST_F(StoredChoicesFile, RefusesWhatIsNoChoiceOfThisMerge) {
  EXPECT_EQ(Problem("ft2/lm_head.weight", "U8", kBits), "");
  EXPECT_THAT(Problem("ft2/lm_head.weight", "I8", kBits), HasSubstr("type I8, not U8"));
  EXPECT_THAT(Problem("ft9/lm_head.weight", "U8", kBits), HasSubstr("base, ft1+adapter, ft2"));
  EXPECT_THAT(Problem("ft2/lm_head.weight", "U8", kBits, 5), HasSubstr("4 elements and the tensor 5"));
  EXPECT_THAT(Problem("ft2/lm_head.weight", "U8", std::string("\1\0\2\1", 4)), HasSubstr("value 2"));
}

TEST_F(StoredChoicesFile, RefusesAModelWhoseNameTwoModelsHave) {
  Read("ft2/lm_head.weight", "U8", kBits);
  EXPECT_THROW(ReadStoredChoices(path_, {"here/ft2", "there/ft2"}), Error);
}

}  // namespace
}  // namespace forge::merge
