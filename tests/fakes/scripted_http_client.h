#pragma once

#include <utility>
#include <vector>

#include "daemon/loop/http_client.h"

namespace tokend::fakes {

// Collects requests, which the test answers. Only the test's thread may use it.
class ScriptedHttpClient final : public loop::HttpClient {
 public:
  struct Posted {
    loop::HttpPost request;
    Done done;
  };

  void Post(loop::HttpPost request, Done done) override {
    posted.push_back({std::move(request), std::move(done)});
  }

  void WipeCopies(std::string_view) override {}  // it keeps none

  void Stop() override {
    for (Posted& post : std::exchange(posted, {})) {
      loop::HttpAnswer answer;
      answer.ending = loop::Ending::kStopped;
      post.done(std::move(answer));
    }
  }

  std::vector<Posted> posted;  // requests without an answer
};

}  // namespace tokend::fakes
