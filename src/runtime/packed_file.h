// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/section_file.h"
#include "runtime/packed_weights.h"

namespace forge::runtime {

/// The numbers of Section::format in a packed file. Codes are the panels of code_panels.h, which are the same
/// on every processor.
enum class PackedFormat : std::uint32_t {
  kFloats = 1,
  kTwoBit = 2,
  kBase3 = 3,
  kInt4 = 4,
  kInt8 = 5,
  kTwoBitPlanes = 6,  // two planes side by side (CodeMatrix::PackTwoPlanes)
  kBase3Planes = 7,
  kInt8Halves = 8,   // a head of int8 in halves (CodeLayout::kHalves)
  kInt8Rotated = 9,  // the same, rotated (CodePanels::is_rotated)
  kBase27 = 10,
};
/// "F32", "two-bit", "base-3", "int4", "int8", "two-bit, two planes", "base-3, two planes", "int8 in halves",
/// "int8 in halves, rotated", "base-27".
const char* Name(PackedFormat format);

/// The key of the metadata that holds the config: the text of a config.json.
inline constexpr const char* kPackedConfigKey = "forge.config";

/// Writes weights as they are held for int8 activations, so that OpenPackedFile uses them where they lie
/// (docs/format.md), and reads the file again: Error(kEnvironment) if it holds anything else. Throws
/// Error(kInput), naming them, for matrices that are held in another way than as ternary codes or as 8 or 4
/// bits: K-quants and float types.
///   tokenizer   tokenizer.* keys (text/gguf_tokenizer.h); may be empty
void SavePackedFile(const std::filesystem::path& path, const PackedWeights& weights,
                    const io::GgufMetadata& tokenizer, const std::string& model_name);

/// The weights of such a file; they keep it mapped. Takes the time of reading metadata and norms: the pages
/// of the matrices are read when they are used first. Norms and biases are checked against their checksums
/// and must be finite. Throws Error(kInput), with file and offset, for a file that is not whole, and for
/// sections that are not those of its config.
PackedWeights OpenPackedFile(const std::shared_ptr<const io::SectionFile>& file);

}  // namespace forge::runtime
