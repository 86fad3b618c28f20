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

  // kRelay: it tries again itself, and says what it would create.
  enum class Kind { kApplivery, kRelay };

  explicit ScriptedUpstream(loop::EventLoop& loop, Kind kind = Kind::kApplivery) : loop_(loop), kind_(kind) {}

  void Mint(IntentReceipt receipt, const upstream::MintRequest& request, Done done) override {
    ++posts_;
    const std::uint64_t intent = receipt.sequence();
    waiting_.push_back({intent, request, std::move(receipt), std::move(done)});
  }

  void Validate(const upstream::MintRequest& request, ValidateDone done) override {
    if (kind_ == Kind::kApplivery) return done(Validation());
    validations_.push_back({request, std::move(done)});
  }

  bool retries() const override { return kind_ == Kind::kRelay; }

  std::shared_ptr<const void> Hold(const std::string& /*organization*/) override { return nullptr; }

  void UseKeys(const upstream::KeyRing& /*keys*/) override {}

  // Drops what waits without an answer.
  void Stop() override {
    waiting_.clear();
    validations_.clear();
  }

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

  // A validation that waits for its answer.
  struct Question {
    upstream::MintRequest request;
    ValidateDone done;
  };
  std::deque<Question>& validations() { return validations_; }

 private:
  loop::EventLoop& loop_;
  const Kind kind_;
  std::deque<Question> validations_;
  std::deque<Post> waiting_;
  int posts_ = 0;
  int minted_ = 0;
};

}  // namespace tokend::fakes
