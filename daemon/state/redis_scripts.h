#pragma once

#include "daemon/state/redis.h"

namespace tokend::state {

// What replicas ask Redis to do: each script is one step, that is done as a whole or not at all.
//
// Times are microseconds by Redis's clock. All keys begin with "{tokend}:", one hash tag, so that a cluster
// holds them in one slot; KEYS is {tokend}:epoch alone, and the names of all others come of the arguments.
// All keys but the epoch's expire by themselves.
//
//   {tokend}:epoch         hash: id, created, quarantine, run (of the server). What is known here is known
//   since then. Until the end
//                          of the quarantine a request_id that is not known here may have had its token.
//   {tokend}:p:<replica>   hash: lease, the time until which it counts as living; write, the number of its
//   last
//                          write to the ledger.
//   {tokend}:r:<id>        hash, a request_id: digest, state (running, token, unknown), owner (the replica),
//                          nonce (of the claim), expires; of a token sealed, intent; of what is unknown
//                          reason, sequence, code.
//   {tokend}:ids           zset: the request_ids, by when they expire.
//   {tokend}:l:<key>       a limit: when its bucket is full again. None: it is full.
//   {tokend}:q:<org>       zset: who waits for the organization's limits, by tag; a member is
//                          <arrival>:<caller>:<replica>.<waiter>, so that the earlier of two alike comes
//                          first.
//   {tokend}:w:<org>       hash: <replica>.<waiter> to what is to be known of it.
//   {tokend}:t:<org>       zset: callers by the tag of their next call.
//   {tokend}:s:<org>       hash: served, the highest tag that was served; arrivals, how many have come.
//   {tokend}:g:<replica>   list: what its waiting calls are told, until it says that it has read that.
//
// The first five arguments of each: the epoch that the replica knows; the replica; when it is too late to run
// this; the number of its last write to the ledger that it knows was done; the number of this one.
//
// Charges are given as: how many own, key interval tolerance of each; how many of the organization, likewise.
// Each reply begins with a word, the time, and the number of the write that was done (0: none). From any:
//   late  …              nothing was done: it is past the time that was set
//   lost  …              nothing was done: Redis has another epoch, or has lost writes of this replica
struct RedisScripts {
  // Makes contact. Arguments: a new epoch; 1 where it may be begun; 1 where it begins in quarantine; how long
  // request_ids are remembered.
  //   epoch … id, quarantine, 1 where writes of this replica are lost
  //   none …               there is no epoch
  RedisScript hello;

  // Renews the lease.
  //   ok … how many request_ids are known
  RedisScript beat;

  // Claims a request_id and spends what it costs. Arguments: request_id, digest, nonce, caller or daemon (who
  // made the id), how long the claim lives, most request_ids, waiter, organization, caller, how long it can
  // wait, charges.
  //   fresh …              own charges spent at, the organization's at
  //   waits …              when the first in the queue has its turn, how many wait
  //   limited …            of each spent limit: its index among the charges, until when
  //   running …            1 where its owner lives, owner, nonce
  //   token …              sealed, intent
  //   unknown …            reason, sequence, code
  //   reused …
  //   quarantined …        until when
  //   full …               when the first expires
  RedisScript admit;

  // Spends for a call that was admitted. Arguments: waiter, organization, caller, how long it can wait,
  // charges.
  //   fresh, waits, limited as above
  RedisScript spend;

  // What spend would say. Arguments as spend's.
  //   fresh, waits, limited as above
  RedisScript check;

  // Serves queues. Arguments: how many waiters' news were read, these waiters; how many are overdue, of each
  // organization and waiter; organizations.
  //   turns …              a list of news; of each organization: when its first has its turn, how many wait
  // A piece of news: "<waiter> granted <own at> <organization's at>", or "<waiter> refused" and of each spent
  // limit " <index> <until>".
  RedisScript turns;

  // A claim is dropped, or who waits goes: what it spent or was granted is given back. Arguments: not before
  // (0: at any time), request_id and nonce (or - and -), waiter, organization, charges.
  //   ok …
  //   early …              nothing was done: what put it there may yet be run
  RedisScript leave;

  // Arguments: own charges spent at, the organization's at, charges.
  //   ok …
  RedisScript give_back;

  // Arguments: charges.
  //   levels …             when each bucket is full
  RedisScript levels;

  // Writes down request_ids, where nobody else has them. Arguments, of each: request_id, digest, nonce,
  // state, how long ago it began to be remembered, how long it is, sealed, intent, reason, sequence, code.
  //   ok …
  RedisScript put;

  static const RedisScripts& Get();
};

}  // namespace tokend::state
