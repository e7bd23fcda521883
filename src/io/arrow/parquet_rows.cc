// SPDX-License-Identifier: Apache-2.0
// libforge_parquet.so: the only code that sees Apache Arrow.
#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/table.h>
#include <parquet/arrow/reader.h>
#include <parquet/properties.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "io/parquet_abi.h"

namespace {

using Json = nlohmann::ordered_json;  // columns keep their order

constexpr std::int64_t kBatchRows = 512;  // a row of OpenWebText has 5 kB
constexpr int kMaxDepth = 32;             // of lists in lists; a file may declare any

Json Value(const arrow::Array& array, std::int64_t i, int depth);

Json ListOf(const arrow::Array& values, std::int64_t first, std::int64_t length, int depth) {
  Json list = Json::array();
  for (std::int64_t i = 0; i < length; ++i) list.push_back(Value(values, first + i, depth + 1));
  return list;
}

template <class List>
Json ListAt(const arrow::Array& array, std::int64_t i, int depth) {
  const auto& list = static_cast<const List&>(array);
  return ListOf(*list.values(), list.value_offset(i), list.value_length(i), depth);
}

Json StructAt(const arrow::Array& array, std::int64_t i, int depth) {
  const auto& fields = static_cast<const arrow::StructArray&>(array);
  Json object = Json::object();
  for (int field = 0; field < fields.num_fields(); ++field)
    object[fields.struct_type()->field(field)->name()] = Value(*fields.field(field), i, depth + 1);
  return object;
}

template <class Array>
Json NumberAt(const arrow::Array& array, std::int64_t i) {
  const auto value = static_cast<const Array&>(array).Value(i);
  if constexpr (std::is_floating_point_v<decltype(value)>)
    if (!std::isfinite(value)) return nullptr;
  return value;
}

Json Value(const arrow::Array& array, std::int64_t i, int depth) {
  if (depth > kMaxDepth) throw std::runtime_error("its columns are nested too deep");
  if (array.IsNull(i)) return nullptr;
  using arrow::Type;
  switch (array.type_id()) {
    case Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(array).Value(i);
    case Type::INT8:
      return NumberAt<arrow::Int8Array>(array, i);
    case Type::INT16:
      return NumberAt<arrow::Int16Array>(array, i);
    case Type::INT32:
      return NumberAt<arrow::Int32Array>(array, i);
    case Type::INT64:
      return NumberAt<arrow::Int64Array>(array, i);
    case Type::UINT8:
      return NumberAt<arrow::UInt8Array>(array, i);
    case Type::UINT16:
      return NumberAt<arrow::UInt16Array>(array, i);
    case Type::UINT32:
      return NumberAt<arrow::UInt32Array>(array, i);
    case Type::UINT64:
      return NumberAt<arrow::UInt64Array>(array, i);
    case Type::FLOAT:
      return NumberAt<arrow::FloatArray>(array, i);
    case Type::DOUBLE:
      return NumberAt<arrow::DoubleArray>(array, i);
    case Type::STRING:
      return static_cast<const arrow::StringArray&>(array).GetString(i);
    case Type::LARGE_STRING:
      return static_cast<const arrow::LargeStringArray&>(array).GetString(i);
    case Type::LIST:
      return ListAt<arrow::ListArray>(array, i, depth);
    case Type::LARGE_LIST:
      return ListAt<arrow::LargeListArray>(array, i, depth);
    case Type::FIXED_SIZE_LIST:
      return ListAt<arrow::FixedSizeListArray>(array, i, depth);
    case Type::STRUCT:
      return StructAt(array, i, depth);
    case Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      return Value(*coded.dictionary(), coded.GetValueIndex(i), depth + 1);
    }
    case Type::BINARY:
    case Type::LARGE_BINARY:
    case Type::FIXED_SIZE_BINARY:
      throw std::runtime_error("it has a column of bytes, which is no text");
    default: {  // dates, times, decimals
      const auto scalar = array.GetScalar(i);
      if (!scalar.ok()) throw std::runtime_error(scalar.status().ToString());
      return (*scalar)->ToString();
    }
  }
}

std::unique_ptr<parquet::arrow::FileReader> OpenReader(const char* path) {
  const auto file = arrow::io::ReadableFile::Open(path);
  if (!file.ok()) throw std::runtime_error(file.status().ToString());
  parquet::ArrowReaderProperties properties(/*use_threads=*/false);
  properties.set_batch_size(kBatchRows);
  properties.set_pre_buffer(false);  // it would hold whole row groups
  parquet::arrow::FileReaderBuilder builder;
  arrow::Status status = builder.Open(*file);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  auto reader = builder.properties(properties)->Build();
  if (!reader.ok()) throw std::runtime_error(reader.status().ToString());
  return std::move(*reader);
}

void ReadRows(const char* path, void* user, ForgeParquetRow row) {
  const auto reader = OpenReader(path);
  const auto batches = reader->GetRecordBatchReader();
  if (!batches.ok()) throw std::runtime_error(batches.status().ToString());
  for (;;) {
    const auto batch = (*batches)->Next();
    if (!batch.ok()) throw std::runtime_error(batch.status().ToString());
    if (*batch == nullptr) return;
    for (std::int64_t i = 0; i < (*batch)->num_rows(); ++i) {
      Json object = Json::object();
      for (int column = 0; column < (*batch)->num_columns(); ++column)
        object[(*batch)->column_name(column)] = Value(*(*batch)->column(column), i, 0);
      const std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
      if (row(user, text.data(), text.size()) != 0) return;
    }
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* forge_read_parquet_1(const char* path,
                                                                                   void* user,
                                                                                   ForgeParquetRow row) {
  thread_local std::string problem;
  try {
    ReadRows(path, user, row);
    return nullptr;
  } catch (const std::exception& error) {  // of Arrow or ours; handed over as text
    problem = error.what();
    return problem.c_str();
  }
}
