// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "base/check.h"

namespace forge::serve {

/// Items of many clients, handed out one client after the other (round robin), first come first served for
/// each. A client with a hundred items waiting does not keep one with a single item waiting for more than one
/// turn of all clients.
template <class Item>
class FairQueue {
 public:
  void Push(const std::string& client, Item item) {
    auto found = std::find_if(clients_.begin(), clients_.end(),
                              [&](const Client& other) { return other.name == client; });
    if (found == clients_.end()) found = clients_.insert(clients_.end(), {client, {}});
    found->items.push_back(std::move(item));
    ++size_;
  }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// The item whose turn it is. Not while empty().
  const Item& Front() const {
    FORGE_CHECK(!empty());
    return clients_.front().items.front();
  }
  /// Takes it; its client goes to the end of the row.
  Item Pop() {
    FORGE_CHECK(!empty());
    Client client = std::move(clients_.front());
    clients_.pop_front();
    Item item = std::move(client.items.front());
    client.items.pop_front();
    --size_;
    if (!client.items.empty()) clients_.push_back(std::move(client));
    return item;
  }

  /// Removes the items for which `is_gone`.
  template <class Predicate>
  void Remove(Predicate is_gone) {
    for (Client& client : clients_) size_ -= std::erase_if(client.items, is_gone);
    std::erase_if(clients_, [](const Client& client) { return client.items.empty(); });
  }

 private:
  struct Client {
    std::string name;
    std::deque<Item> items;  // never empty
  };
  std::deque<Client> clients_;
  std::size_t size_ = 0;
};

}  // namespace forge::serve
