#include "daemon/loop/name_lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cassert>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "daemon/base/thread.h"

namespace tokend::loop {
namespace {

std::vector<std::string> AddressesOf(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  std::set<std::string> addresses;
  for (const addrinfo* each = found; each != nullptr && addresses.size() < NameLookup::kMaxAddresses;
       each = each->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      addresses.insert(text.data());
    }
  }
  return {addresses.begin(), addresses.end()};
}

}  // namespace

// Shared with the look-up's thread, which may outlive the SystemNameLookup and the loop.
struct SystemNameLookup::Request {
  Done done;  // loop thread only

  std::mutex mutex;
  EventLoop* loop = nullptr;  // null: nobody waits for the answer any more
};

void SystemNameLookup::Answer(const std::shared_ptr<Request>& request, std::vector<std::string> addresses) {
  const std::lock_guard lock(request->mutex);
  if (request->loop == nullptr) return;
  request->loop->Post([request, addresses = std::move(addresses)]() mutable {
    Done then = std::exchange(request->done, nullptr);
    if (then) then(std::move(addresses));
  });
}

SystemNameLookup::~SystemNameLookup() {
  if (request_ == nullptr) return;
  request_->done = nullptr;
  const std::lock_guard lock(request_->mutex);
  request_->loop = nullptr;
}

void SystemNameLookup::LookUp(const std::string& host, Done done) {
  assert(request_ == nullptr || request_->done == nullptr);
  request_ = std::make_shared<Request>();
  request_->done = std::move(done);
  request_->loop = &loop_;
  try {
    StartThread("resolve", [host, request = request_] { Answer(request, AddressesOf(host)); }).detach();
  } catch (const std::system_error&) {  // the system starts no further thread
    Answer(request_, {});
  }
}

bool IsIpAddress(const std::string& host) {
  in_addr ipv4{};
  in6_addr ipv6{};
  return inet_pton(AF_INET, host.c_str(), &ipv4) == 1 || inet_pton(AF_INET6, host.c_str(), &ipv6) == 1;
}

}  // namespace tokend::loop
