#include "daemon/loop/http_client.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace tokend::loop {

HeaderList::~HeaderList() {
  for (curl_slist* node = list_; node != nullptr; node = node->next) {
    OPENSSL_cleanse(node->data, std::strlen(node->data));
  }
  curl_slist_free_all(list_);
}

HeaderList::HeaderList(HeaderList&& other) noexcept : list_(std::exchange(other.list_, nullptr)) {}

HeaderList& HeaderList::operator=(HeaderList&& other) noexcept {
  std::swap(list_, other.list_);
  return *this;
}

void HeaderList::Add(std::string_view name, std::string_view value) {
  std::vector<char, WipingAllocator<char>> line;
  line.reserve(name.size() + value.size() + 3);
  line.insert(line.end(), name.begin(), name.end());
  line.insert(line.end(), {':', ' '});
  line.insert(line.end(), value.begin(), value.end());
  line.push_back('\0');
  curl_slist* longer = curl_slist_append(list_, line.data());
  if (longer == nullptr) throw std::bad_alloc();
  list_ = longer;
}

}  // namespace tokend::loop
