/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handover protocol: who owns a VM that moves between two hosts.
 *
 * Theory of operation
 *
 * Two agents, symmetric: each can be the source or the destination of a session, so a VM that arrived can be sent on or back. All state is
 * global; a process is a set of guarded steps, each taken in one indivisible piece (atomic, not d_step: of a d_step Spin reports no unreached code). A journal write is one step and what follows from it (a QMP
 * command, the release of a message) is another, so a crash falls between any two of them.
 *
 * Journal. Two records per host and VM: the last session it took part in as the source (out) and as the destination (in), each a step and an
 * epoch. The record with the higher epoch says whose the VM is. The secrets of a session are part of its record, so they survive a crash.
 * A write reaches the page cache first and the disk with a sync; a crash of the agent keeps the cache, a power failure loses it.
 * Epoch rules: OWNED n -> SENDING n+1 -> RESUMED n+2, so no number is used by two sessions.
 *
 * Secrets. A message is a preimage, so it is modelled as a bit that is set once its owner has released it: nobody can present what is not set.
 *
 * Jobs and their path. net[e] is all that the jobs have seen in session e. While the world is not calm, an agent may be handed any of it at any
 * time, again and in any order, or never, and a job may ask for stop, load and give whenever it likes. That is loss, repetition, reordering
 * and a lying job in one; what a job writes into the guest's memory is not part of the protocol. A job that dies closes its agent's
 * attempt: the step `job dies`.
 *
 * Manager relay. rel[e] is what it carries now: taken out when delivered, lost at most LOSSES times, otherwise slow without limit.
 *
 * cont. Succeeds, fails with an error and a guest that does not run, or its answer is lost: then the command hangs in QEMU (pending) and may
 * take effect at any later time, or never.
 *
 * Calm. Once the world is calm there are no more faults, no new attempts, and the jobs' path is silent for ever: what is left must be settled by
 * the agents and the relay alone. Every step changes the state and every fault is counted, so each run ends; liveness needs no
 * fairness. The claim `settles` also finds a cycle, if a change ever makes one.
 *
 * Safety (assertions): never two QEMUs running; no session whose VM ran on, at any time, on both sides (so a guest that ran at the destination for a
 * moment and then died is not run again from the source's older memory); never two journals that say "mine"; a source gives its copy up only
 * when the destination's journal has it.
 *
 * Bounds (the runner passes them). ATTEMPTS 2 with every fault once (CRASHES per agent): the second attempt is the first that a message of an
 * earlier one can hurt, in either direction. ATTEMPTS 1 with every fault twice (CONT_FAILS and the like): a crash while settling after a crash. A
 * retry has no memory of how many came before, so one more of a kind adds nothing new. Each QEMU dies by itself at most once. DISK_LOSS, one
 * attempt: the destination's journal is lost; safe, but only an operator can settle it, so it has no liveness.
 *
 * SETTLE, one attempt: once, at any moment, the operator gives the VM to one host by hand, in an epoch (WORD) above all others. The other host, if it
 * answers, gives it up first: GONE durable, its QEMU ended. If it does not, the operator asserts that it is switched off, and the model takes the
 * assertion as true: its power has failed. (That its guest stands is not enough: an ABORTED on its way would resume it.) It may come back at any time,
 * is told then, and starts nothing before. Until it is told, two journals may say "mine"; never two QEMUs run. The manager ends the task before it says the word, so no ticket reaches a host after it. What a settled host has said of a session is forgotten unless it was RUNNING. A guest that
 * ran on at the host that gives it up is lost by the operator's will, so `fate` ends here.
 *
 * START and WRITE_FAILS, one attempt. A VM that is off is started where its journal says "mine", by the operator or by its host after a boot. The write of
 * GIVEN fails: nothing was written, or the disk has it all the same, or only the page cache shows it, and then no sync writes it (shown). The agent is busy
 * with that until RESUMED is durable; one that finds such a record after a crash writes it anew.
 *
 * TRACE is not for the search: it is for random runs that tests/agent/moves/the-agents-follow-the-model.c replays against the agents. Each step says its
 * name and the state that it led to. Where the model allows more than the code does (README.md), a trace keeps to the code; and the faults are thinned
 * out, so that a run gets somewhere before the first one.
 */

/*
 * QEMU: none, waits for device state (-S -incoming), paused with the whole guest, running. Then journal steps, then messages; ABORTED and
 * RETURNED are both: the message says that the step is durable. Messages are last, so that BIT stays within a short.
 */
mtype = {
	Q_NONE, Q_WAIT, Q_PAUSED, Q_RUN,
	NONE, OWNED, SENDING, GIVEN, GONE, RESUMED, INCOMING, ABORTED, RETURNED,
	READY, COMMIT, RUNNING
};

#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CONT_FAILS
#define CONT_FAILS 1
#endif
#ifndef CONT_LOSSES
#define CONT_LOSSES 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif

#ifndef BLACKOUTS
#define BLACKOUTS 1
#endif

#ifndef STARTS
#define STARTS 1
#endif

#ifdef SETTLE
#define WORD (2 * ATTEMPTS + 1) /* the epoch of the operator's word; nothing moves after it here */
#define EPOCHS (WORD + 2)
#else
#define EPOCHS (2 * ATTEMPTS + 1)
#endif
#define BIT(m) (1 << (m))
#define VERDICTS (BIT(RUNNING) | BIT(ABORTED) | BIT(RETURNED))

/* Durable. */
mtype out[2];
mtype in[2];
byte out_epoch[2];
byte in_epoch[2];

/* A record that is written but perhaps not on the disk: what it replaces. */
bool unsynced[2];
bool old_is_out[2];
mtype old_step[2];
byte old_epoch[2];

/* Volatile: gone with a crash of the agent. */
bool up[2];
bool job[2];     /* this attempt's job is connected */
bool stopped[2]; /* `stop` was answered in this attempt */
bool sure[2];    /* OWNED was journaled by this incarnation and no `cont` was sent yet */
bool failed[2];  /* that first `cont` surely failed */

/* Outlives the agent. */
mtype qemu[2];
bool pending[2]; /* a `cont` without answer hangs in QEMU */
short net[EPOCHS];
short rel[EPOCHS];
byte ticket[EPOCHS]; /* 1 + source of the session, 0: not begun */

/* Counters of faults, and two ghosts. */
bool calm;
byte attempts;
byte crashes[2];
bool qemu_died[2];
byte cont_fails;
byte cont_losses;
byte losses;
byte blackouts;
byte fate[EPOCHS]; /* 1 + host on which the VM ran on after session e */
#ifdef DISK_LOSS
byte void_epoch; /* the destination's journal is lost; it enrols anew, old tickets do not reach it */
#endif

#ifdef START
byte starts;
#endif
#ifdef WRITE_FAILS
bool tainted[2]; /* volatile: the write of GIVEN has failed */
bool shown[2];   /* the page cache shows the record as written: only another write brings it to the disk */
byte write_fails;
#define is_tainted(h) tainted[h]
#define is_shown_only(h) shown[h]
#define UNTAINTS(h) ; tainted[h] = false
#define REACHES_DISK(h) ; shown[h] = false
#ifdef SEED_RESTART_ONLY_SYNCS
#define WRITES_ANEW(h)
#else
#define WRITES_ANEW(h) ; shown[h] = false
#endif
#else
#define is_tainted(h) false
#define is_shown_only(h) false
#define UNTAINTS(h)
#define REACHES_DISK(h)
#define WRITES_ANEW(h)
#endif

#ifdef SETTLE
/* How far the operator's word has come. */
#define UNSAID 0
#define LOSER_FIRST 1
#define OWNER_NEXT 2
#define SAID 3
byte word;
byte heir;
bool absent; /* the other host was declared down and has not been told yet */
bool off[2]; /* its power is off */
#endif

#define as_source(h) (out_epoch[h] >= in_epoch[h])
#define epoch(h) (as_source(h) -> out_epoch[h] : in_epoch[h])
#define idle_owner(h) ((as_source(h) && (out[h] == OWNED || out[h] == RESUMED)) || (!as_source(h) && in[h] == OWNED))
#define mine(h) (idle_owner(h) || (as_source(h) && out[h] == SENDING))

/* An agent does nothing else for a VM while a write of its journal is not yet durable; what it finds after a restart it writes anew. */
#ifdef SEED_RESTART_WITHOUT_SYNC
bool trusted[2]; /* the record was found by a restart */
#define ready(h) (up[h] && (!unsynced[h] || trusted[h]))
#define trust(h, found) trusted[h] = found
#else
#ifdef SEED_RESTART_ONLY_SYNCS
#define ready(h) (up[h] && (!unsynced[h] || shown[h]) && !tainted[h])
#else
#define ready(h) (up[h] && !unsynced[h] && !is_tainted(h))
#endif
#define trust(h, found) skip
#endif

#define on_net(e, m) (!calm && (net[e] & BIT(m)))
#define on_relay(e, m) (rel[e] & BIT(m))
#define arrives(e, m) (on_net(e, m) || on_relay(e, m))

#define at_rest(h, o) (mine(h) && !mine(o) && idle_owner(h) && qemu[o] == Q_NONE && \
	(qemu[h] == Q_RUN || (qemu[h] == Q_NONE && qemu_died[h])))
#ifdef SETTLE
/* The owner in WORD, its guest running or off; the other host has heard it and has no QEMU. */
#define obeyed (word == SAID && !absent && ready(0) && ready(1) && out[heir] == OWNED && out_epoch[heir] == WORD && \
	out[1 - heir] == GONE && out_epoch[1 - heir] == WORD && qemu[1 - heir] == Q_NONE && (qemu[heir] == Q_RUN || (qemu[heir] == Q_NONE && qemu_died[heir])))
#define no_word (word == UNSAID)
#define settled ((no_word && handed) || obeyed)
#else
#define no_word true
#define settled handed
#endif
#define handed (ready(0) && ready(1) && out[0] != GIVEN && out[1] != GIVEN && (at_rest(0, 1) || at_rest(1, 0)))

ltl settles { <>[] settled }

/* The seeded errors: each macro is the correct rule, or the wrong one. */
#ifdef SEED_GIVE_WITHOUT_STOP
#define may_give(h) true
#else
#define may_give(h) stopped[h]
#endif
#ifdef SEED_RESUME_AFTER_GIVEN
#define in_doubt(h) (out[h] == SENDING || out[h] == GIVEN)
#else
#ifdef SEED_RESTART_RESUMES_GIVEN
#define in_doubt(h) (out[h] == SENDING || (out[h] == GIVEN && crashes[h] > 0))
#else
#define in_doubt(h) (out[h] == SENDING)
#endif
#endif
#ifdef SEED_RUN_WITHOUT_COMMIT
#define has_commit(e) true
#else
#define has_commit(e) arrives(e, COMMIT)
#endif
#ifdef SEED_FORGED_RUNNING
#define says_running(e) true
#else
#define says_running(e) arrives(e, RUNNING)
#endif
#ifdef SEED_FORGED_ABORTED
#define says_yours(e) true
#else
#define says_yours(e) (arrives(e, ABORTED) || arrives(e, RETURNED))
#endif
#ifdef SEED_EPOCH_NOT_BURNED
#define next_epoch(e) ((e) - 1)
/* The same number again is a ticket of the second attempt, not the first one's replayed: that is SEED_TICKET_TWICE. */
#define is_new(h, e) ((e) > epoch(h) || ((e) == epoch(h) && attempts == 2 && out[1 - (h)] == SENDING && out_epoch[1 - (h)] == (e)))
#else
#define next_epoch(e) ((e) + 1)
#ifdef SEED_TICKET_TWICE
#define is_new(h, e) ((e) >= epoch(h))
#else
#define is_new(h, e) ((e) > epoch(h))
#endif
#endif
#ifdef DISK_LOSS
#define reaches(h, e) (ticket[e] == 2 - (h) && (e) > void_epoch)
#define kept_by(h, e) ((in[h] == OWNED && in_epoch[h] == (e)) || (e) <= void_epoch)
#else
#define kept_by(h, e) (in[h] == OWNED && in_epoch[h] == (e))
#define reaches(h, e) (ticket[e] == 2 - (h))
#endif
#ifdef SEED_COMMIT_ONCE
#define may_repeat(e) (!(net[e] & BIT(COMMIT)))
#else
#define may_repeat(e) (!on_relay(e, COMMIT) && !(rel[e] & VERDICTS))
#endif
#ifdef SEED_OWNER_STAYS_PAUSED
#define may_cont(h) (crashes[h] == 0)
#else
#define may_cont(h) true
#endif
#ifdef SEED_RETURNED_AFTER_RESTART
#define surely(h) (!as_source(h))
#else
#define surely(h) sure[h]
#endif

#ifdef SEED_SETTLE_TASK_GOES_ON
#define may_arrive true
#else
#define may_arrive no_word
#endif

#ifdef SEED_START_GIVEN
#define may_power_on(h) (idle_owner(h) || (as_source(h) && out[h] == GIVEN))
#else
#ifdef SEED_START_SENDING
#define may_power_on(h) mine(h)
#else
#define may_power_on(h) idle_owner(h)
#endif
#endif

#ifdef SEED_SENDING_DURING_CONT
#define cont_settled(h) true
#else
#define cont_settled(h) (!sure[h] && !failed[h])
#endif

#ifdef SETTLE
inline one_owner() { assert(absent || !(mine(0) && mine(1))) }
#else
inline one_owner() { assert(!(mine(0) && mine(1))) }
#endif

#ifdef TRACE
/* Where a trace keeps to the code. */
bool fresh[2];           /* the last session began in this incarnation of the agent */
bool is_told[EPOCHS];    /* the source's answer, the ticket, is out */
bool is_shown[EPOCHS];   /* the destination's answer to it has reached the source */
byte patience;           /* until the world is calm */
byte luck;               /* until the first fault */
mtype window;            /* when there are faults: NONE: at any time; while a source is GIVEN; a destination OWNED; COMMIT taken and `cont` not sent */
bool is_unlucky;         /* what a power failure can lose is lost, a `cont` that hangs never runs */
bool is_hasty;           /* doubts without a cause */
bool is_mortal;          /* a job dies by itself */
/* The disk fails, or is lost, before anything else does. */
#ifdef WRITE_FAILS
#define REFUSED 1
#define KEPT 2
#define SHOWN_ONLY 3
byte flaw; /* how the write of GIVEN fails */
#define is_waiting (write_fails == 0)
#define may_fail_as(h, how) (fresh[h] && flaw == (how))
#define may_write(h) (!is_waiting || flaw != REFUSED)
#define may_sync(h) (!is_waiting || !as_source(h) || out[h] != GIVEN || calm)
#else
#define is_waiting false
#define may_write(h) true
#define may_sync(h) true
#endif
#ifdef DISK_LOSS
bool is_doomed;
#define may_come_up(h) (!is_doomed || h == 0 || void_epoch > 0 || epoch(1) == 0)
#else
#define may_come_up(h) true
#endif
#define may_send(h) (qemu[h] == Q_RUN)
#define is_ticket_out(h, e) (is_told[e] && in[h] != INCOMING)
#define may_stop(h) is_shown[out_epoch[h]]
#define may_own(h) fresh[h]
#define may_say_running(h) (fresh[h] || as_source(h) || qemu[h] != Q_PAUSED)
#define may_doubt(h) (calm || (!is_waiting && (is_hasty || !job[h] || qemu[h] == Q_NONE)))
/* It wants nothing else first. */
#define may_hear(h) (!(!fresh[h] && ((as_source(h) && out[h] == SENDING) || (!as_source(h) && in[h] == INCOMING))) && !(idle_owner(h) && qemu[h] == Q_PAUSED) && \
	!(as_source(h) && out[h] == GONE && qemu[h] != Q_NONE) && !(!as_source(h) && (in[h] == ABORTED || in[h] == RETURNED) && qemu[h] != Q_NONE) && \
	!(!as_source(h) && in[h] == INCOMING && qemu[h] == Q_NONE))
#define may_fail (luck == 0 && !is_waiting && (window == NONE || (window == GIVEN && (out[0] == GIVEN || out[1] == GIVEN)) || \
	(window == OWNED && (in[0] == OWNED || in[1] == OWNED)) || (window == COMMIT && (sure[0] || sure[1]))))
#define may_die (may_fail && is_mortal)
#define may_be_lucky (!is_unlucky)
#define BEGINS(h) ; fresh[h] = true
#define SHOWN(e, yes) ; is_shown[e] = yes
#define UNTOLD(e) ; is_told[e] = false
#define SYNCED(h) ; if :: fresh[h] && as_source(h) && out[h] == SENDING -> is_told[out_epoch[h]] = true :: else fi
#define FORGETS(h) ; fresh[h] = false
#define DIES ; is_mortal = false
#define PART(k) printf(" %d %d %d %e %d %e %d %e %d %d %d %d %d", up[k], unsynced[k], is_tainted(k), out[k], out_epoch[k], in[k], in_epoch[k], qemu[k], pending[k], job[k], stopped[k], sure[k], failed[k])
#define TOLD(name, h) ; printf("@ "); printf(name); printf(" %d", h); PART(0); PART(1); printf("\n")
#else
#define may_send(h) true
#define is_ticket_out(h, e) true
#define may_stop(h) true
#define may_own(h) true
#define may_say_running(h) true
#define may_doubt(h) true
#define may_hear(h) true
#define may_fail true
#define may_die true
#define may_fail_as(h, how) true
#define may_write(h) true
#define may_sync(h) true
#define may_come_up(h) true
#define may_be_lucky true
#define BEGINS(h)
#define SHOWN(e, yes)
#define UNTOLD(e)
#define SYNCED(h)
#define FORGETS(h)
#define DIES
#define TOLD(name, h)
#endif

inline writes_out(h, step, number) {
	unsynced[h] = true;
	trust(h, false);
#ifdef WRITE_FAILS
	if
	:: shown[h] -> shown[h] = false /* in its place: the disk has what that one was to replace */
	:: else -> old_is_out[h] = true; old_step[h] = out[h]; old_epoch[h] = out_epoch[h]
	fi;
#else
	old_is_out[h] = true;
	old_step[h] = out[h];
	old_epoch[h] = out_epoch[h];
#endif
	out_epoch[h] = number;
	out[h] = step;
	one_owner()
}

inline writes_in(h, step, number) {
	unsynced[h] = true;
	trust(h, false);
	old_is_out[h] = false;
	old_step[h] = in[h];
	old_epoch[h] = in_epoch[h];
	in_epoch[h] = number;
	in[h] = step;
	one_owner()
}

inline is_durable(h) {
	unsynced[h] = false;
	old_is_out[h] = false;
	old_step[h] = 0;
	old_epoch[h] = 0
	REACHES_DISK(h)
}

/* The guest of host h starts to execute. */
inline runs(h) {
	assert(qemu[1 - h] != Q_RUN);
	qemu[h] = Q_RUN;
	pending[h] = false;
	if
#ifdef SETTLE
	:: word != UNSAID -> skip
	:: word == UNSAID && !as_source(h) ->
#else
	:: !as_source(h) ->
#endif
		assert(in_epoch[h] > 0 && fate[in_epoch[h]] != 2 - h);
		fate[in_epoch[h]] = 1 + h
	:: no_word && as_source(h) && out[h] == RESUMED ->
		assert(out_epoch[h] == 0 || fate[out_epoch[h] - 1] != 2 - h);
		if
		:: out_epoch[h] > 0 -> fate[out_epoch[h] - 1] = 1 + h
		:: else
		fi
	:: no_word && as_source(h) && (out[h] == SENDING || out[h] == GIVEN) ->
		assert(fate[out_epoch[h]] != 2 - h)
	:: else -> assert(false)
	fi
}

/* Each session's own steps of a destination. */
inline takes_ticket(h, e) {
	writes_in(h, INCOMING, e);
	job[h] = true
	BEGINS(h)
}

inline takes_back(h) {
	writes_out(h, RESUMED, next_epoch(out_epoch[h]));
	stopped[h] = false;
	job[h] = false
}

/* The owner and the source. */
proctype source(byte h) {
	byte e;
end:
	do
	/* 1: the epoch is burned, then the manager carries the ticket. */
	:: atomic {
		ready(h) && !calm && no_word && attempts < ATTEMPTS && idle_owner(h) && qemu[h] != Q_NONE && cont_settled(h) && may_send(h) ->
		attempts++;
		e = epoch(h) + 1;
		writes_out(h, SENDING, e);
		ticket[e] = 1 + h;
		job[h] = true;
		stopped[h] = false
		BEGINS(h) UNTOLD(e) SHOWN(e, false);
		e = 0
		TOLD("prepare", h)
	   }
	/* 2: QMP is in order, so an earlier `cont` has run or never will once `stop` is answered. */
	:: atomic {
		ready(h) && !calm && as_source(h) && out[h] == SENDING && job[h] && !stopped[h] && qemu[h] != Q_NONE && may_stop(h) ->
		qemu[h] = Q_PAUSED;
		pending[h] = false;
		stopped[h] = true
		TOLD("stop", h)
	   }
#ifdef SEED_COMMIT_BEFORE_GIVEN
	:: atomic {
		ready(h) && as_source(h) && out[h] == SENDING && job[h] && may_give(h) && on_net(out_epoch[h], READY) &&
			!(net[out_epoch[h]] & BIT(COMMIT)) ->
		net[out_epoch[h]] = net[out_epoch[h]] | BIT(COMMIT)
	   }
#endif
	/* 3: give. */
	:: atomic {
		ready(h) && as_source(h) && out[h] == SENDING && job[h] && may_give(h) && on_net(out_epoch[h], READY) && may_write(h) ->
		writes_out(h, GIVEN, out_epoch[h]);
		job[h] = false;
		stopped[h] = false
		TOLD("give", h)
	   }
	/* COMMIT goes out, to the job and to the relay, and again while no answer is under way. */
	:: atomic {
		ready(h) && as_source(h) && out[h] == GIVEN && may_repeat(out_epoch[h]) ->
		net[out_epoch[h]] = net[out_epoch[h]] | BIT(COMMIT);
		rel[out_epoch[h]] = rel[out_epoch[h]] | BIT(COMMIT)
		TOLD("commit", h)
	   }
	/* Any doubt: time, the job's death, cancel, or a restart, which leaves no other way on. */
	:: atomic { ready(h) && as_source(h) && in_doubt(h) && may_doubt(h) -> takes_back(h) TOLD("doubt", h) }
	/* 4: the verdict. */
	:: atomic {
		ready(h) && as_source(h) && out[h] == GIVEN && says_running(out_epoch[h]) ->
#ifndef SETTLE
		assert(kept_by(1 - h, out_epoch[h]));
#endif
		rel[out_epoch[h]] = 0;
		writes_out(h, GONE, out_epoch[h])
		TOLD("gone", h)
	   }
	:: atomic {
		ready(h) && as_source(h) && out[h] == GIVEN && says_yours(out_epoch[h]) ->
		rel[out_epoch[h]] = 0;
		takes_back(h)
		TOLD("back", h)
	   }
	:: atomic {
		ready(h) && as_source(h) && out[h] == GONE && qemu[h] != Q_NONE ->
		qemu[h] = Q_NONE;
		pending[h] = false
		TOLD("end", h)
	   }
#ifdef WRITE_FAILS
	/* Nothing of GIVEN was written; or its sync failed, and the disk has it or only the page cache. The agent cannot tell. COMMIT was not released. */
	:: atomic {
		ready(h) && !calm && as_source(h) && out[h] == SENDING && job[h] && may_give(h) && on_net(out_epoch[h], READY) && write_fails < WRITE_FAILS &&
			may_fail_as(h, REFUSED) ->
		write_fails++;
		job[h] = false;
		stopped[h] = false;
		tainted[h] = true
		TOLD("give-refused", h)
	   }
	:: atomic {
		up[h] && unsynced[h] && !shown[h] && as_source(h) && out[h] == GIVEN && !calm && write_fails < WRITE_FAILS && may_fail_as(h, KEPT) ->
		write_fails++;
		is_durable(h);
		tainted[h] = true
		TOLD("give-kept", h)
	   }
	:: atomic {
		up[h] && unsynced[h] && !shown[h] && as_source(h) && out[h] == GIVEN && !calm && write_fails < WRITE_FAILS && may_fail_as(h, SHOWN_ONLY) ->
		write_fails++;
		shown[h] = true;
		tainted[h] = true
		TOLD("give-shown", h)
	   }
	:: atomic { up[h] && tainted[h] -> tainted[h] = false; takes_back(h) TOLD("take-back", h) }
#ifdef SEED_RESUME_ON_FAILED_GIVEN
	:: atomic { up[h] && tainted[h] && qemu[h] == Q_PAUSED -> runs(h) }
#endif
#endif
	od
}

/* `cont`, for whoever owns the VM by its journal: after RESUMED, after OWNED, after a restart in either. */
proctype owner(byte h) {
end:
	do
	:: atomic {
		ready(h) && idle_owner(h) && qemu[h] == Q_PAUSED && !failed[h] && may_cont(h) ->
		sure[h] = false;
		runs(h)
		TOLD("cont", h)
	   }
	/* The answer is an error and query-status says not running. */
	:: atomic {
		ready(h) && !calm && idle_owner(h) && qemu[h] == Q_PAUSED && !failed[h] && cont_fails < CONT_FAILS ->
		cont_fails++;
		failed[h] = surely(h);
		sure[h] = false
		TOLD("cont-fails", h)
	   }
	:: atomic {
		ready(h) && !calm && idle_owner(h) && qemu[h] == Q_PAUSED && !failed[h] && cont_losses < CONT_LOSSES ->
		cont_losses++;
		pending[h] = true;
#ifdef SEED_RETURNED_ON_LOST_ANSWER
		failed[h] = sure[h];
#endif
		sure[h] = false
		TOLD("cont-lost", h)
	   }
	/* QEMU died before `cont` was sent. */
	:: atomic {
		ready(h) && sure[h] && qemu[h] == Q_NONE ->
		failed[h] = true;
		sure[h] = false
		TOLD("cont-dead", h)
	   }
#ifdef START
	/* By the operator, or by the host after a boot. */
	:: atomic {
		ready(h) && !calm && starts < STARTS && may_power_on(h) && cont_settled(h) && qemu[h] == Q_NONE ->
		starts++;
		if
		:: out_epoch[h] == 0 && as_source(h) -> assert(qemu[1 - h] != Q_RUN); qemu[h] = Q_RUN /* before its first move */
		:: else -> runs(h)
		fi
		TOLD("start", h)
	   }
#endif
	od
}

/* The destination. */
proctype destination(byte h) {
end:
	do
	/* 1: never while this host owns the VM, is in doubt about it, or still has a QEMU of it. */
	:: atomic { ready(h) && !calm && may_arrive && reaches(h, 1) && is_new(h, 1) && !mine(h) && out[h] != GIVEN && qemu[h] == Q_NONE && is_ticket_out(h, 1) -> takes_ticket(h, 1) TOLD("ticket", h) }
#if ATTEMPTS > 1
	:: atomic { ready(h) && !calm && may_arrive && reaches(h, 2) && is_new(h, 2) && !mine(h) && out[h] != GIVEN && qemu[h] == Q_NONE && is_ticket_out(h, 2) -> takes_ticket(h, 2) TOLD("ticket", h) }
	:: atomic { ready(h) && !calm && may_arrive && reaches(h, 3) && is_new(h, 3) && !mine(h) && out[h] != GIVEN && qemu[h] == Q_NONE && is_ticket_out(h, 3) -> takes_ticket(h, 3) TOLD("ticket", h) }
#endif
	:: atomic { ready(h) && !calm && !as_source(h) && in[h] == INCOMING && job[h] && qemu[h] == Q_NONE -> qemu[h] = Q_WAIT SHOWN(in_epoch[h], true) TOLD("shell", h) }
	/* 2: load, READY. */
	:: atomic {
		ready(h) && !calm && !as_source(h) && in[h] == INCOMING && job[h] && qemu[h] == Q_WAIT ->
		qemu[h] = Q_PAUSED;
		net[in_epoch[h]] = net[in_epoch[h]] | BIT(READY)
		TOLD("load", h)
	   }
#ifdef SEED_CONT_BEFORE_OWNED
	:: atomic {
		ready(h) && !as_source(h) && in[h] == INCOMING && qemu[h] == Q_PAUSED && has_commit(in_epoch[h]) ->
		runs(h)
	   }
	:: atomic { ready(h) && in[h] == INCOMING && qemu[h] == Q_RUN && crashes[h] == 0 -> writes_in(h, OWNED, in_epoch[h]) }
	:: atomic { ready(h) && in[h] == INCOMING && (qemu[h] != Q_RUN || crashes[h] > 0) -> writes_in(h, ABORTED, in_epoch[h]); job[h] = false }
#else
	/* 4: COMMIT; also when the job is dead, as long as the whole guest is here. */
	:: atomic {
		ready(h) && !as_source(h) && in[h] == INCOMING && qemu[h] == Q_PAUSED && has_commit(in_epoch[h]) && may_own(h) ->
		writes_in(h, OWNED, in_epoch[h]);
		job[h] = false;
		sure[h] = true
		TOLD("own", h)
	   }
	/* Any doubt, and every session that a restart finds here. */
	:: atomic { ready(h) && in[h] == INCOMING && may_doubt(h) -> writes_in(h, ABORTED, in_epoch[h]); job[h] = false TOLD("abort", h) }
#endif
#ifdef SEED_ABORTED_NOT_JOURNALED
	:: atomic {
		ready(h) && in[h] == INCOMING && !(net[in_epoch[h]] & BIT(ABORTED)) ->
		net[in_epoch[h]] = net[in_epoch[h]] | BIT(ABORTED)
	   }
#endif
#ifdef SEED_RUNNING_BEFORE_OWNED
	:: atomic {
		ready(h) && in[h] == INCOMING && qemu[h] == Q_PAUSED && has_commit(in_epoch[h]) && !(net[in_epoch[h]] & BIT(RUNNING)) ->
		net[in_epoch[h]] = net[in_epoch[h]] | BIT(RUNNING)
	   }
#endif
	/* 5: cont failed. */
	:: atomic { ready(h) && in[h] == OWNED && failed[h] -> writes_in(h, RETURNED, in_epoch[h]); failed[h] = false TOLD("return", h) }
	:: atomic {
		ready(h) && !as_source(h) && (in[h] == ABORTED || in[h] == RETURNED) && qemu[h] != Q_NONE ->
		qemu[h] = Q_NONE;
		pending[h] = false
		TOLD("end", h)
	   }
	od
}

#define no_qemu_of(h) (as_source(h) || qemu[h] == Q_NONE)

inline answers(h, m) {
	net[in_epoch[h]] = net[in_epoch[h]] | BIT(m);
	if
	:: on_relay(in_epoch[h], COMMIT) -> rel[in_epoch[h]] = BIT(m)
	:: else
	fi
}

#ifdef SEED_ANSWER_ONCE
#define asks(e) false
#else
#define asks(e) on_relay(e, COMMIT)
#endif
#define asked(h, m) (ready(h) && in_epoch[h] > 0 && (asks(in_epoch[h]) || !(net[in_epoch[h]] & BIT(m))))

/* The destination's verdict comes from the record of the session, whatever has become of the VM since. */
proctype verdict(byte h) {
	byte e;
end:
	do
#ifdef SEED_VERDICT_FORGOTTEN
	:: atomic { asked(h, RUNNING) && !as_source(h) && in[h] == OWNED && !sure[h] && !failed[h] -> answers(h, RUNNING) }
	:: atomic { asked(h, ABORTED) && as_source(h) && in[h] == OWNED -> answers(h, ABORTED) }
#else
	:: atomic { asked(h, RUNNING) && in[h] == OWNED && !sure[h] && !failed[h] && may_say_running(h) -> answers(h, RUNNING) TOLD("say", h) }
#endif
	:: atomic { asked(h, ABORTED) && in[h] == ABORTED && no_qemu_of(h) -> answers(h, ABORTED) TOLD("say", h) }
	:: atomic { asked(h, RETURNED) && in[h] == RETURNED && no_qemu_of(h) -> answers(h, RETURNED) TOLD("say", h) }
#ifdef SEED_COMMIT_RUNS_AGAIN
	:: atomic { ready(h) && in[h] == OWNED && arrives(in_epoch[h], COMMIT) && qemu[h] == Q_PAUSED && !sure[h] && !failed[h] -> runs(h) }
#endif
#ifdef SEED_UNKNOWN_IS_ABORTED
	:: atomic { ready(1) && h == 1 && void_epoch > 0 && on_relay(void_epoch, COMMIT) && in_epoch[1] < void_epoch -> rel[void_epoch] = BIT(ABORTED) }
#endif
	od
}

inline loses(e) {
	losses++;
	rel[e] = 0
}

inline crash(h) {
	up[h] = false;
	job[h] = false;
	stopped[h] = false;
	sure[h] = false;
	failed[h] = false
	UNTAINTS(h) FORGETS(h)
}

inline blackout(h) {
	blackouts++;
	crash(h);
	qemu_died[h] = true;
	qemu[h] = Q_NONE;
	pending[h] = false
}

/* What happens to one host. */
proctype world(byte h) {
end:
	do
	:: atomic {
		up[h] && !calm && crashes[h] < CRASHES && may_fail ->
		crashes[h]++;
		crash(h)
		TOLD("crash", h)
	   }
#ifdef SETTLE
	:: atomic { !up[h] && !off[h] -> up[h] = true; trust(h, true) WRITES_ANEW(h) TOLD("up", h) }
	:: atomic { off[h] -> off[h] = false }
#else
	:: atomic { !up[h] && may_come_up(h) -> up[h] = true; trust(h, true) WRITES_ANEW(h) TOLD("up", h) }
#endif
	:: atomic { up[h] && unsynced[h] && !is_shown_only(h) && may_sync(h) -> is_durable(h) SYNCED(h) TOLD("sync", h) }
	/* The power fails; the record that was not synced has reached the disk, or not. */
	:: atomic {
		!calm && blackouts < BLACKOUTS && may_fail && may_be_lucky ->
		blackout(h);
		is_durable(h)
		TOLD("dark", h)
	   }
	:: atomic {
		!calm && blackouts < BLACKOUTS && unsynced[h] && may_fail ->
		blackout(h);
		if
		:: old_is_out[h] -> out[h] = old_step[h]; out_epoch[h] = old_epoch[h]
		:: else -> in[h] = old_step[h]; in_epoch[h] = old_epoch[h]
		fi;
		is_durable(h);
		one_owner()
		TOLD("dark-lost", h)
	   }
	:: atomic { !calm && job[h] && may_die -> job[h] = false DIES TOLD("job-dies", h) }
	:: atomic {
		!calm && qemu[h] != Q_NONE && !qemu_died[h] && may_fail ->
		qemu_died[h] = true;
		qemu[h] = Q_NONE;
		pending[h] = false;
		if
		:: !as_source(h) && in[h] == INCOMING -> job[h] = false
		:: else
		fi
		TOLD("qemu-dies", h)
	   }
#ifdef DISK_LOSS
	/* A `cont` of before the loss: the QEMU runs without a record. */
	:: atomic {
		h == 1 && out[1] == NONE && as_source(1) && pending[1] && qemu[1] == Q_PAUSED ->
		assert(qemu[1 - h] != Q_RUN);
		assert(fate[void_epoch] != 1);
		qemu[1] = Q_RUN;
		pending[1] = false;
		fate[void_epoch] = 2
		TOLD("hung-runs", h)
	   }
	:: atomic { !(h == 1 && out[1] == NONE && as_source(1)) && pending[h] && qemu[h] == Q_PAUSED && may_be_lucky -> runs(h) TOLD("hung-runs", h) }
#else
	:: atomic { pending[h] && qemu[h] == Q_PAUSED && may_be_lucky -> runs(h) TOLD("hung-runs", h) }
#endif
	:: atomic { pending[h] -> pending[h] = false TOLD("hung-never", h) }
#ifdef DISK_LOSS
	:: atomic {
		h == 1 && !up[1] && !calm && void_epoch == 0 && epoch(1) > 0 ->
		void_epoch = epoch(1);
		in[1] = NONE;
		out[1] = NONE;
		in_epoch[1] = 0;
		out_epoch[1] = 0;
		is_durable(1)
		TOLD("disk-lost", h)
	   }
#endif
	od
}

#ifdef SETTLE
/* All moves of the VM on this host end where they stand. What it said of a session would give the VM back to a source that has not heard the word:
 * only RUNNING stays said. The agent waits for the disk here, so the record changes in one step. */
inline hears(h, step) {
	job[h] = false;
	stopped[h] = false;
	if
	:: in[h] == INCOMING || in[h] == ABORTED || in[h] == RETURNED -> in[h] = NONE; in_epoch[h] = 0
	:: else
	fi;
	out[h] = step;
	out_epoch[h] = WORD
}

#ifdef SEED_SETTLE_START_UNTOLD
#define may_start(h) (idle_owner(h))
#else
#define may_start(h) (word == SAID && h == heir)
#endif
#ifdef SEED_SETTLE_OWNER_FIRST
#define is_turn(w) (w == OWNER_NEXT || w == LOSER_FIRST)
#else
#define is_turn(w) (w == OWNER_NEXT)
#endif

/* The operator and the manager that carries the word. An agent obeys between two of its own steps: `cont` is not under way. */
proctype operator() {
	byte h;
	byte o;
end:
	do
	:: atomic { !calm && word == UNSAID && may_fail -> word = LOSER_FIRST; heir = 0 }
	:: atomic { !calm && word == UNSAID && may_fail -> word = LOSER_FIRST; heir = 1 }
	/* Declared down: its power has failed. */
	:: atomic {
		!calm && word == UNSAID && may_fail ->
		if
		:: heir = 0
		:: heir = 1
		fi;
		word = OWNER_NEXT;
		absent = true;
		o = 1 - heir;
		off[o] = true;
		crash(o);
		qemu_died[o] = true;
		qemu[o] = Q_NONE;
		pending[o] = false;
		is_durable(o)
		TOLD("dark", o);
		o = 0
	   }
	:: atomic {
		word == LOSER_FIRST && ready(1 - heir) && out_epoch[1 - heir] != WORD && cont_settled(1 - heir) && may_hear(1 - heir) ->
		o = 1 - heir;
		hears(o, GONE)
		TOLD("hear", o);
		o = 0
	   }
	:: atomic { word == LOSER_FIRST && ready(1 - heir) && out_epoch[1 - heir] == WORD && qemu[1 - heir] == Q_NONE -> word = OWNER_NEXT }
	/* A shell that has not got COMMIT is ended; a host without the guest owns a VM that is off. */
	:: atomic {
		is_turn(word) && ready(heir) && out_epoch[heir] != WORD && cont_settled(heir) && may_hear(heir) ->
		h = heir;
		if
		:: !as_source(h) && in[h] != OWNED -> qemu[h] = Q_NONE; pending[h] = false
		:: else
		fi;
		if
		:: qemu[h] == Q_NONE -> qemu_died[h] = true
		:: else
		fi;
		hears(h, OWNED);
		one_owner();
		word = SAID
		TOLD("hear", h);
		h = 0
	   }
	/* The one that was declared down is back. */
	:: atomic {
		absent && up[1 - heir] && ready(1 - heir) && out_epoch[1 - heir] != WORD && cont_settled(1 - heir) && may_hear(1 - heir) ->
		o = 1 - heir;
		hears(o, GONE);
		absent = false
		TOLD("hear", o);
		o = 0
	   }
	/* The operator starts a VM that is off, or its host does after a boot, at the word of the manager, which has told it all. */
	:: atomic { !calm && word != UNSAID && ready(0) && may_start(0) && qemu[0] == Q_NONE -> qemu[0] = Q_PAUSED TOLD("power-on", 0) }
	:: atomic { !calm && word != UNSAID && ready(1) && may_start(1) && qemu[1] == Q_NONE -> qemu[1] = Q_PAUSED TOLD("power-on", 1) }
	od
}
#endif

/* What happens to all. */
proctype weather() {
end:
	do
	:: atomic { !calm && losses < LOSSES && rel[1] -> loses(1) }
#if ATTEMPTS > 1
	:: atomic { !calm && losses < LOSSES && rel[2] -> loses(2) }
	:: atomic { !calm && losses < LOSSES && rel[3] -> loses(3) }
#endif
#ifdef TRACE
	:: atomic { luck > 0 -> luck-- }
	:: atomic { luck == 0 && patience > 0 -> patience-- }
	:: atomic { !calm && patience == 0 -> calm = true }
#else
	:: atomic { !calm -> calm = true }
#endif
	od
}

#ifdef TRACE
/* A run draws which faults it can have. */
#define RARELY(claim) if :: claim = true :: skip :: skip :: skip fi
#define MOSTLY(claim) if :: claim = true :: claim = true :: claim = true :: skip fi
#define MOSTLY_USED(fault, used) if :: fault = used :: fault = used :: skip fi
inline draws() {
	if
	:: luck = 0
	:: luck = 3
	fi;
	if
	:: window = NONE
	:: window = GIVEN
	:: window = OWNED
	:: window = COMMIT
	fi;
	if
	:: patience = 4
	:: patience = 8
	:: patience = 16
	fi;
	if
	:: is_unlucky = true
	:: skip
	fi;
	RARELY(is_hasty);
	RARELY(is_mortal);
	MOSTLY_USED(crashes[0], CRASHES);
#ifndef DISK_LOSS
	MOSTLY_USED(crashes[1], CRASHES);
#endif
	MOSTLY_USED(qemu_died[0], true);
	MOSTLY_USED(qemu_died[1], true);
	MOSTLY_USED(blackouts, BLACKOUTS)
#ifdef WRITE_FAILS
	window = NONE;
	patience = 32;
	if
	:: flaw = REFUSED
	:: flaw = KEPT
	:: flaw = SHOWN_ONLY
	:: flaw = SHOWN_ONLY
	fi
#endif
#ifdef DISK_LOSS
	patience = 32;
	MOSTLY(is_doomed)
#endif
}
#endif

init {
	byte h;
	atomic {
		out[0] = OWNED;
		out[1] = NONE;
		in[0] = NONE;
		in[1] = NONE;
		qemu[0] = Q_RUN;
		qemu[1] = Q_NONE;
		for (h : 0 .. 1) {
			up[h] = true;
			run source(h);
			run owner(h);
			run destination(h);
			run verdict(h);
			run world(h)
		}
		run weather();
#ifdef SETTLE
		run operator();
#endif
#ifdef TRACE
		draws();
#endif
		h = 0
	}
}
