// SPDX-License-Identifier: Apache-2.0
#include "compress/kept_linears.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/section_file.h"

namespace forge::compress {
namespace {

constexpr const char* kKey = "forge.kept.key";
constexpr const char* kReport = "forge.kept.report";
constexpr std::uint32_t kPlain = 0;  // format of codes and scales; of blocks it is their type

std::string ReportText(const LinearReport& report) {
  io::Json json{{"quantiser", report.quantiser},
                {"nearest_error", report.nearest_error},
                {"error", report.error},
                {"kept_feedback", report.kept_feedback},
                {"compared", report.compared}};
  if (report.block)
    json["block"] = {report.block->layer, report.block->before, report.block->after, report.block->kept};
  return json.dump();
}

LinearReport ParseReport(const std::string& name, const io::Json& json) {
  LinearReport report{.name = name, .quantiser = json.at("quantiser").get<std::string>()};
  report.nearest_error = json.at("nearest_error").get<double>();
  report.error = json.at("error").get<double>();
  report.kept_feedback = json.at("kept_feedback").get<bool>();
  for (const io::Json& error : json.at("compared"))  // null: not a number, where a type does not fit
    report.compared.push_back(error.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                              : error.get<double>());
  if (json.contains("block")) {
    const io::Json& block = json.at("block");
    report.block = BlockReport{.layer = block.at(0).get<int>(),
                               .before = block.at(1).get<double>(),
                               .after = block.at(2).get<double>(),
                               .kept = block.at(3).get<bool>()};
  }
  return report;
}

void AddPlane(const std::string& name, const model::TernaryTensor& plane,
              std::vector<io::Section>& sections) {
  const auto rows = static_cast<std::uint64_t>(plane.shape[0]),
             columns = static_cast<std::uint64_t>(plane.shape[1]);
  const auto add = [&](const char* part, std::span<const std::byte> bytes) {
    sections.push_back({.name = name + part,
                        .format = kPlain,
                        .rows = rows,
                        .columns = columns,
                        .group = static_cast<std::uint64_t>(plane.group),
                        .bytes = bytes});
  };
  add(".codes", std::as_bytes(std::span(plane.codes)));
  add(".scales", std::as_bytes(std::span(plane.scales)));
}

/// Nothing if it is not there.
std::optional<model::TernaryTensor> PlaneOf(const io::SectionFile& file, const std::string& name,
                                            const model::TensorSpec& spec) {
  const io::Section *codes = file.Find(name + ".codes"), *scales = file.Find(name + ".scales");
  if (codes == nullptr || scales == nullptr) return std::nullopt;
  const auto size = static_cast<std::uint64_t>(spec.shape[0] * spec.shape[1]);
  const std::uint64_t group = codes->group;
  if (codes->bytes.size() != size || group == 0 || size % group != 0 ||
      scales->bytes.size() != size / group * sizeof(float))
    file.Fail(file.OffsetOf(*codes), "its planes are not those of " + spec.name);
  model::TernaryTensor plane{
      .shape = spec.shape, .codes = {}, .scales = {}, .group = static_cast<int>(group)};
  plane.codes.resize(size);
  plane.scales.resize(size / group);
  std::memcpy(plane.codes.data(), codes->bytes.data(), codes->bytes.size());
  std::memcpy(plane.scales.data(), scales->bytes.data(), scales->bytes.size());
  return plane;
}

std::optional<EncodedLinear> BlocksOf(const io::SectionFile& file, const model::TensorSpec& spec) {
  const io::Section* section = file.Find("blocks");
  if (section == nullptr) return std::nullopt;
  const std::optional<io::BlockType> type = io::FindBlockType(section->format);
  const auto rows = static_cast<std::size_t>(spec.shape[0]),
             columns = static_cast<std::size_t>(spec.shape[1]);
  if (!type || columns % io::Info(*type).elements != 0 ||
      section->bytes.size() != rows * io::RowBytes(*type, columns))
    file.Fail(file.OffsetOf(*section), "its blocks are not those of " + spec.name);
  return EncodedLinear{.type = *type, .blocks = {section->bytes.begin(), section->bytes.end()}};
}

}  // namespace

std::vector<float> KeptLinear::Values() const {
  if (blocks) {
    const io::BlockInfo& info = io::Info(blocks->type);
    std::vector<float> values(blocks->blocks.size() / info.bytes * info.elements);
    io::DecodeBlocks(blocks->type, blocks->blocks, values);
    return values;
  }
  FORGE_CHECK(first);
  std::vector<float> values = model::Dequantize(*first).values;
  if (!second) return values;
  const std::vector<float> more = model::Dequantize(*second).values;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += more[i];
  return values;
}

KeptLinears::KeptLinears(std::filesystem::path folder, std::string key,
                         std::function<void(const std::string&)> log)
    : folder_(std::move(folder)), key_(std::move(key)), log_(std::move(log)) {
  if (!folder_.empty()) io::CreateFolders(folder_);
}

std::optional<KeptLinear> KeptLinears::Find(const model::TensorSpec& spec) const {
  if (folder_.empty() || !std::filesystem::exists(PathOf(spec))) return std::nullopt;
  try {
    const io::SectionFile file(PathOf(spec));
    const std::string *key = io::FindText(file.metadata(), kKey),
                      *report = io::FindText(file.metadata(), kReport);
    if (key == nullptr || report == nullptr || *key != key_) {
      log_(fmt::format("{} was kept by a compression with other settings and is made again", spec.name));
      return std::nullopt;
    }
    file.VerifyAll();
    KeptLinear linear{.first = PlaneOf(file, "first", spec),
                      .second = PlaneOf(file, "second", spec),
                      .blocks = BlocksOf(file, spec),
                      .report = ParseReport(spec.name, io::ParseJson(*report, file.path().string()))};
    if (!linear.first && !linear.blocks) file.Fail(0, "it holds no linear");
    return linear;
  } catch (const Error& error) {
    log_(fmt::format("{} is made again: {}: {}", spec.name, error.fields().what, error.fields().why));
  } catch (const io::Json::exception& error) {
    log_(fmt::format("{} is made again: its report cannot be read: {}", spec.name, error.what()));
  }
  return std::nullopt;
}

void KeptLinears::Keep(const model::TensorSpec& spec, const KeptLinear& linear) const {
  if (folder_.empty()) return;
  std::vector<io::Section> sections;
  if (linear.first) AddPlane("first", *linear.first, sections);
  if (linear.second) AddPlane("second", *linear.second, sections);
  if (linear.blocks)
    sections.push_back({.name = "blocks",
                        .format = static_cast<std::uint32_t>(linear.blocks->type),
                        .rows = static_cast<std::uint64_t>(spec.shape[0]),
                        .columns = static_cast<std::uint64_t>(spec.shape[1]),
                        .bytes = linear.blocks->blocks});
  io::GgufMetadata metadata;
  metadata[kKey] = key_;
  metadata[kReport] = ReportText(linear.report);
  io::WriteSectionFile(PathOf(spec), metadata, sections);
}

}  // namespace forge::compress
