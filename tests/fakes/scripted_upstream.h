#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "daemon/loop/event_loop.h"
#include "daemon/upstream/upstream.h"

namespace tokend::fakes {

// An upstream that answers when its test tells it to. Only the test's thread may use it.
class ScriptedUpstream final : public upstream::Upstream {
 public:
  struct Post {
    std::uint64_t intent;  // the sequence number of its receipt
    upstream::MintRequest request;
    IntentReceipt receipt;
    Done done;
  };

  explicit ScriptedUpstream(loop::EventLoop& loop) : loop_(loop) {}

  void Mint(IntentReceipt receipt, const upstream::MintRequest& request, Done done) override {
    ++posts_;
    const std::uint64_t intent = receipt.sequence();
    waiting_.push_back({intent, request, std::move(receipt), std::move(done)});
  }

  std::shared_ptr<const void> Hold(const std::string& /*organization*/) override { return nullptr; }

  // Drops the waiting POSTs without an answer.
  void Stop() override { waiting_.clear(); }

  // Answers the POST that has waited longest.
  void Answer(MintOutcome outcome) {
    Post post = std::move(waiting_.front());
    waiting_.pop_front();
    loop_.Post([post = std::make_shared<Post>(std::move(post)), outcome = std::move(outcome)]() mutable {
      post->done(std::move(post->receipt), std::move(outcome));
    });
  }

  // Answers that POST with a new token: "bearer-1", "bearer-2" …
  void AnswerMinted(std::uint64_t key_generation = 1) {
    auto token = std::make_shared<Token>();
    ++minted_;
    const std::string number = std::to_string(minted_);
    token->id = std::string(24 - number.size(), '0') + number;
    token->description = waiting_.front().request.description;
    token->scopes = waiting_.front().request.scopes;
    token->bearer = Bearer("bearer-" + number);
    Answer({Minted{std::move(token)}, {.http_status = 200, .key_generation = key_generation}});
  }

  int posts() const { return posts_; }
  int minted() const { return minted_; }
  const std::deque<Post>& waiting() const { return waiting_; }

 private:
  loop::EventLoop& loop_;
  std::deque<Post> waiting_;
  int posts_ = 0;
  int minted_ = 0;
};

}  // namespace tokend::fakes
