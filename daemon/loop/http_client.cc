#include "daemon/loop/http_client.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <cstring>
#include <new>

namespace tokend::loop {

void HeaderList::Wiper::operator()(curl_slist* list) const {
  for (curl_slist* node = list; node != nullptr; node = node->next) {
    OPENSSL_cleanse(node->data, std::strlen(node->data));
  }
  curl_slist_free_all(list);
}

void HeaderList::Add(std::string_view name, std::string_view value) {
  WipedBytes line;
  line.reserve(name.size() + value.size() + 3);
  line.insert(line.end(), name.begin(), name.end());
  line.insert(line.end(), {':', ' '});
  line.insert(line.end(), value.begin(), value.end());
  line.push_back('\0');
  curl_slist* const head = curl_slist_append(list_.get(), line.data());
  if (head == nullptr) throw std::bad_alloc();
  if (list_ == nullptr) list_.reset(head);
}

}  // namespace tokend::loop
