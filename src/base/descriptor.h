// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

namespace forge {

/// A file descriptor that is closed at the end; negative: none.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void Close() {
    if (number_ >= 0) close(number_);
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace forge
