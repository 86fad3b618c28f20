#include "daemon/loop/connection_pool.h"

#include <limits>
#include <new>

namespace tokend::loop {
namespace {

constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

}  // namespace

ConnectionPool::ConnectionPool(const Bounds& bounds, TimePoint now)
    : max_requests_(bounds.max_requests == 0 ? kAnyNumber : bounds.max_requests),
      max_age_(bounds.max_age),
      born_(now),
      share_(curl_share_init()) {
  if (curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK) return;
  curl_share_cleanup(share_);
  throw std::bad_alloc();
}

ConnectionPool::~ConnectionPool() { curl_share_cleanup(share_); }

bool ConnectionPool::TooOld(TimePoint now) const { return max_age_.count() > 0 && now - born_ >= max_age_; }

bool ConnectionPool::Take(int local_port) {
  std::size_t& requests = requests_[local_port];
  if (requests >= max_requests_) return false;
  ++requests;
  return true;
}

void ConnectionPool::Spoil(int local_port) { requests_[local_port] = max_requests_; }

void ConnectionPool::Forget(int local_port) { requests_.erase(local_port); }

}  // namespace tokend::loop
