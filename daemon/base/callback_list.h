#pragma once

#include <list>
#include <memory>
#include <optional>
#include <utility>

namespace tokend {

// A list of callbacks, or of objects that hold one, that each are called once. A callback may change the
// list: it may add items, remove items, call the rest of them, or destroy the list. So may an item when it is
// destroyed. One thread.
template <class T>
class CallbackList {
 public:
  CallbackList() = default;
  // Destroys the items that are left, without calling them.
  ~CallbackList() { const std::list<T> left = std::exchange(*items_, {}); }
  CallbackList(const CallbackList&) = delete;
  CallbackList& operator=(const CallbackList&) = delete;

  void Add(T item) { items_->push_back(std::move(item)); }

  bool empty() const { return items_->empty(); }

  // Takes out the oldest item that matches, or nothing.
  template <class Predicate>
  std::optional<T> Take(Predicate matches) {
    for (auto item = items_->begin(); item != items_->end(); ++item) {
      if (!matches(std::as_const(*item))) continue;
      std::optional<T> taken(std::move(*item));
      items_->erase(item);
      return taken;
    }
    return std::nullopt;
  }

  // Takes out one item after another, the oldest first, and passes each to `call(T)`. Ends when no item is
  // left or when a callback destroys the list.
  template <class Call>
  void CallAll(Call call) {
    const std::shared_ptr<std::list<T>> items = items_;  // outlives the list
    while (!items->empty()) {
      T item = std::move(items->front());
      items->pop_front();
      call(std::move(item));
    }
  }

 private:
  const std::shared_ptr<std::list<T>> items_ = std::make_shared<std::list<T>>();
};

}  // namespace tokend
