/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/event_types.h"

#include <assert.h>
#include <string.h>

/* The destination of one that stays on its host is no word. */
#define MOVE "VM '{vm}' from host '{host}'[ to host '{destination}'][ to datastore '{datastore}']"
#define BY "[ by '{user}']"

static const struct event_type_row rows[EVENT_TYPES] = {
    [EVENT_MIGRATION_REQUESTED] = {"VmMigrationRequestedEvent", "task", EVENT_INFO,
                                   "the migration of " MOVE " was requested" BY},
    [EVENT_MIGRATION_REFUSED] = {"VmMigrationRefusedEvent", "audit", EVENT_ERROR,
                                 "the migration of VM '{vm}'[ to host '{destination}'], requested" BY
                                 ", was refused: {error}"},
    [EVENT_MIGRATION_BEGINS] = {"VmBeingHotMigratedEvent", "task", EVENT_INFO,
                                "the migration of " MOVE " begins"},
    [EVENT_MIGRATION_PHASE] = {"VmMigrationPhaseEvent", "task", EVENT_INFO,
                               "the migration of " MOVE " is in the phase {detail}"},
    [EVENT_MIGRATION_COPIES] = {"VmEmigratingEvent", "task", EVENT_INFO,
                                "VM '{vm}' is leaving host '{host}': its memory is copied to host "
                                "'{destination}'"},
    [EVENT_RELOCATING] = {"VmBeingRelocatedEvent", "task", EVENT_INFO,
                          "the disks of VM '{vm}' on host '{host}' are copied to datastore '{datastore}'"},
    [EVENT_RELOCATED] = {"VmRelocatedEvent", "task", EVENT_INFO,
                         "the disks of VM '{vm}' on host '{host}' were moved to datastore '{datastore}' "
                         "{figures}"},
    [EVENT_MIGRATION_SWITCHES] = {"VmSwitchOverEvent", "task", EVENT_INFO,
                                  "the switch-over of " MOVE " begins"},
    [EVENT_MIGRATION_HANDED_OVER] = {"VmHandedOverEvent", "task", EVENT_INFO,
                                     "VM '{vm}' runs on host '{destination}'; host '{host}' and the "
                                     "inventory give it up"},
    [EVENT_MIGRATION_WAITS] = {"VmMigrationWaitsEvent", "task", EVENT_INFO,
                               "the migration of " MOVE " waits for {detail}"},
    [EVENT_MIGRATION_STALLED] = {"VmMigrationStalledEvent", "task", EVENT_WARNING,
                                 "the migration of " MOVE " does not get on: it waits for {detail}"},
    [EVENT_MIGRATION_OUTAGE] = {"VmMigrationOutageEvent", "task", EVENT_WARNING,
                                "the migration of " MOVE " lost its connections[: {detail}]"},
    [EVENT_MIGRATION_RESUMED] = {"VmMigrationResumedEvent", "task", EVENT_INFO,
                                 "the migration of " MOVE " goes on over new connections[ {detail}]"},
    [EVENT_MIGRATION_THROTTLED] = {"VmThrottledEvent", "task", EVENT_INFO,
                                   "VM '{vm}' on host '{host}' writes faster than its memory is sent and is "
                                   "held up[: {detail}]"},
    [EVENT_MIGRATION_NOT_THROTTLED] = {"VmNotThrottledEvent", "task", EVENT_INFO,
                                       "VM '{vm}' on host '{host}' is not held up any more"},
    [EVENT_MIGRATION_CANCEL_REQUESTED] = {"VmMigrationCancelRequestedEvent", "task", EVENT_INFO,
                                          "the migration of " MOVE " is to be cancelled, in the phase "
                                          "{detail}[, says '{user}']"},
    [EVENT_MIGRATION_ENDING] = {"VmMigrationEndingEvent", "task", EVENT_WARNING,
                                "the migration of " MOVE " is being taken back: {error}"},
    [EVENT_MIGRATION_WARNING] = {"MigrationWarningEvent", "task", EVENT_WARNING,
                                 "the migration of " MOVE ": {detail}"},
    [EVENT_MIGRATED] = {"VmMigratedEvent", "task", EVENT_INFO, MOVE " was migrated {figures}"},
    [EVENT_MIGRATION_FAILED] = {"VmFailedMigrateEvent", "task", EVENT_ERROR,
                                "the migration of " MOVE " failed {figures}: {error}"},
    [EVENT_MIGRATION_CANCELLED] = {"VmMigrationCancelledEvent", "task", EVENT_WARNING,
                                   "the migration of " MOVE " was cancelled {figures}: {error}"},
    [EVENT_MIGRATION_FORECAST] = {"VmMigrationForecastEvent", "forecast", EVENT_INFO,
                                  "a migration of " MOVE " was forecast[ for '{user}']: {detail}"},

    [EVENT_VM_CREATED] = {"VmCreatedEvent", "vm", EVENT_INFO, "VM '{vm}' was created on host '{host}'" BY},
    [EVENT_VM_DISCOVERED] = {"VmDiscoveredEvent", "vm", EVENT_INFO, "VM '{vm}' was found on host '{host}'"},
    [EVENT_VM_STARTING] = {"VmStartingEvent", "vm", EVENT_INFO, "VM '{vm}' is starting on host '{host}'" BY},
    [EVENT_VM_POWERED_ON] = {"VmPoweredOnEvent", "vm", EVENT_INFO, "VM '{vm}' runs on host '{host}'" BY},
    [EVENT_VM_STOPPING] = {"VmStoppingEvent", "vm", EVENT_INFO,
                           "VM '{vm}' on host '{host}' is being {detail}" BY},
    [EVENT_VM_POWERED_OFF] = {"VmPoweredOffEvent", "vm", EVENT_INFO, "VM '{vm}' is off on host '{host}'" BY},
    [EVENT_VM_PAUSED] = {"VmPausedEvent", "vm", EVENT_WARNING, "VM '{vm}' is paused on host '{host}'"},
    [EVENT_VM_IO_ERROR] = {"VmPausedForIoErrorEvent", "vm", EVENT_ERROR,
                           "VM '{vm}' is paused on host '{host}': {detail}"},
    [EVENT_VM_PANICKED] = {"VmGuestPanickedEvent", "vm", EVENT_ERROR,
                           "the guest of VM '{vm}' has panicked on host '{host}'"},
    [EVENT_VM_RESUMED] = {"VmResumedEvent", "vm", EVENT_INFO, "VM '{vm}' runs again on host '{host}'" BY},
    [EVENT_VM_UNUSABLE] = {"VmDisconnectedEvent", "vm", EVENT_ERROR,
                           "host '{host}' cannot use VM '{vm}'[: {detail}]"},
    [EVENT_VM_SHELL] = {"VmShellCreatedEvent", "vm", EVENT_INFO,
                        "a shell for VM '{vm}' waits on host '{host}'"},
    [EVENT_VM_SHELL_REMOVED] = {"VmShellRemovedEvent", "vm", EVENT_INFO,
                                "the shell for VM '{vm}' is gone from host '{host}'"},
    [EVENT_VM_ARRIVED] = {"VmImmigratedEvent", "vm", EVENT_INFO, "VM '{vm}' has arrived on host '{host}'"},
    [EVENT_VM_LEFT] = {"VmEmigratedEvent", "vm", EVENT_INFO, "VM '{vm}' is no longer on host '{host}'"},
    [EVENT_VM_EPOCH] = {"VmEpochChangedEvent", "vm", EVENT_INFO,
                        "host '{host}' holds VM '{vm}' in epoch {detail} now"},
    [EVENT_VM_RECONFIGURED] = {"VmReconfiguredEvent", "vm", EVENT_INFO,
                               "VM '{vm}' on host '{host}' was changed" BY ": {detail}"},
    [EVENT_VM_RENAMED] = {"VmRenamedEvent", "vm", EVENT_INFO,
                          "VM '{detail}' on host '{host}' was renamed to '{vm}'" BY},
    [EVENT_VM_POOL_CHANGED] = {"VmResourcePoolMovedEvent", "vm", EVENT_INFO,
                               "VM '{vm}' on host '{host}' was put into the pool '{detail}'" BY},
    [EVENT_VM_REMOVED] = {"VmRemovedEvent", "vm", EVENT_INFO, "VM '{vm}' was removed from host '{host}'" BY},
    [EVENT_VM_START_FAILED] = {"VmFailedToPowerOnEvent", "vm", EVENT_ERROR,
                               "VM '{vm}' was not started on host '{host}'[, as '{user}' asked]: {error}"},
    [EVENT_VM_STOP_FAILED] = {"VmFailedToPowerOffEvent", "vm", EVENT_ERROR,
                              "VM '{vm}' was not stopped on host '{host}'[, as '{user}' asked]: {error}"},

    [EVENT_HOST_ADDED] = {"HostAddedEvent", "host", EVENT_INFO, "host '{host}' was registered" BY},
    [EVENT_HOST_ADOPTED] = {"HostAdoptedEvent", "host", EVENT_INFO, "host '{host}' was taken back" BY},
    [EVENT_HOST_ENROLLED] = {"HostEnrolledEvent", "host", EVENT_INFO, "host '{host}' has enrolled"},
    [EVENT_HOST_CONNECTED] = {"HostConnectedEvent", "host", EVENT_INFO, "host '{host}' is connected"},
    [EVENT_HOST_CONNECTION_LOST] = {"HostConnectionLostEvent", "host", EVENT_ERROR,
                                    "host '{host}' does not answer[: {error}]"},
    [EVENT_HOST_UPGRADED] = {"HostUpgradedEvent", "host", EVENT_INFO, "host '{host}': {detail}"},
    [EVENT_HOST_CERTIFICATE] = {"HostCertificateRenewedEvent", "host", EVENT_INFO,
                                "host '{host}' has a new certificate"},
    [EVENT_HOST_REMOVED] = {"HostRemovedEvent", "host", EVENT_INFO, "host '{host}' was removed" BY},
    [EVENT_MAINTENANCE_ENTERING] =
        {"EnteringMaintenanceModeEvent", "host", EVENT_INFO,
         "host '{host}' takes no more VMs, and enters maintenance mode when those on it are gone" BY},
    [EVENT_MAINTENANCE_ENTERED] = {"EnteredMaintenanceModeEvent", "host", EVENT_INFO,
                                   "host '{host}' is in maintenance mode: no VM on it is powered on"},
    [EVENT_MAINTENANCE_EXITED] = {"ExitMaintenanceModeEvent", "host", EVENT_INFO,
                                  "host '{host}' takes VMs again" BY},

    [EVENT_HOST_CPU_BASELINE] = {"EVCAdmissionFailedEvent", "host", EVENT_ERROR,
                                 "host '{host}' cannot provide the CPU baseline of the cluster, and takes no "
                                 "VM: {detail}"},

    [EVENT_CLUSTER_CHANGED] = {"ClusterReconfiguredEvent", "cluster", EVENT_INFO,
                               "the CPU baseline of the cluster is {detail} now" BY},

    [EVENT_DATASTORE_INITIALISED] = {"DatastoreInitialisedEvent", "datastore", EVENT_INFO,
                                     "datastore '{name}' got the identity {detail} on host '{host}'" BY},
    [EVENT_DATASTORE_DISCOVERED] = {"DatastoreDiscoveredEvent", "datastore", EVENT_INFO,
                                    "host '{host}' sees datastore '{name}': {detail}"},
    [EVENT_DATASTORE_DUPLICATED] = {"DatastoreDuplicatedEvent", "datastore", EVENT_WARNING,
                                    "datastore '{name}' is not the same on all hosts: on host '{host}' it is "
                                    "{detail}"},
    [EVENT_DATASTORE_INACCESSIBLE] = {"DatastoreInaccessibleEvent", "datastore", EVENT_ERROR,
                                      "datastore '{name}' cannot be used on host '{host}': it is {detail}"},
    [EVENT_DATASTORE_LIMITED] = {"DatastoreLimitedEvent", "datastore", EVENT_WARNING,
                                 "datastore '{name}' on host '{host}' is {detail}"},
    [EVENT_DATASTORE_ACCESSIBLE] = {"DatastoreAccessibleEvent", "datastore", EVENT_INFO,
                                    "datastore '{name}' can be used on host '{host}' again"},
    [EVENT_DATASTORE_REMOVED] = {"DatastoreRemovedOnHostEvent", "datastore", EVENT_INFO,
                                 "host '{host}' has no datastore '{name}' any more"},

    [EVENT_POOL_CREATED] = {"ResourcePoolCreatedEvent", "pool", EVENT_INFO, "pool '{name}' was created" BY},
    [EVENT_POOL_CHANGED] = {"ResourcePoolReconfiguredEvent", "pool", EVENT_INFO,
                            "pool '{name}' was changed" BY},
    [EVENT_POOL_REMOVED] = {"ResourcePoolDestroyedEvent", "pool", EVENT_INFO, "pool '{name}' was removed" BY},

    [EVENT_ORPHAN_CANCELLED] = {"OrphanedMigrationCancelledEvent", "recovery", EVENT_WARNING,
                                "a migration of VM '{vm}' on host '{host}' has no task: {detail}"},
    [EVENT_ORPHAN_WAITS] = {"OrphanedMigrationWaitsEvent", "recovery", EVENT_WARNING,
                            "a migration of VM '{vm}' on host '{host}' has no task: {detail}"},
    [EVENT_ORPHAN_SETTLED] = {"OrphanedMigrationSettledEvent", "recovery", EVENT_INFO,
                              "a migration of VM '{vm}' on host '{host}' has no task: {detail}"},
    [EVENT_OWNER_SETTLED] = {"VmOwnershipSettledEvent", "audit", EVENT_WARNING, "'{user}' settles: {detail}"},
    [EVENT_OWNER_TAKEN] = {"VmOwnershipTakenEvent", "recovery", EVENT_INFO,
                           "host '{host}' owns VM '{vm}' now, as the operator said"},
    [EVENT_OWNER_GIVEN_UP] = {"VmOwnershipGivenUpEvent", "recovery", EVENT_INFO,
                              "host '{host}' gave VM '{vm}' up, as the operator said"},
    [EVENT_VM_NOT_STARTED] = {"VmNotStartedEvent", "recovery", EVENT_WARNING, "{detail}"},

    [EVENT_TOKEN_CREATED] = {"TokenCreatedEvent", "audit", EVENT_INFO,
                             "a token for '{name}' was made" BY "; an earlier one of that name has ended"},
    [EVENT_TOKEN_REMOVED] = {"TokenRemovedEvent", "audit", EVENT_INFO,
                             "the token of '{name}' was removed" BY},
    [EVENT_ENROLMENT_CREATED] = {"HostEnrolmentCreatedEvent", "audit", EVENT_INFO,
                                 "a one-time token for host '{host}' was made" BY},
    [EVENT_MANAGER_CERTIFICATE] = {"ManagerCertificateRenewedEvent", "manager", EVENT_INFO,
                                   "the manager has a new certificate"},
};

static const char *const severities[EVENT_SEVERITIES] = {
    [EVENT_INFO] = "info", [EVENT_WARNING] = "warning", [EVENT_ERROR] = "error"};

const struct event_type_row *event_type_row(enum event_type type)
{
    assert(type > EVENT_NONE && type < EVENT_TYPES);
    return &rows[type];
}

enum event_type event_type_from_name(const char *name)
{
    for (enum event_type type = EVENT_NONE + 1; type < EVENT_TYPES; type++)
        if (!strcmp(rows[type].name, name))
            return type;
    return EVENT_NONE;
}

const char *event_severity_name(unsigned severity)
{
    return severities[MIN(severity, EVENT_ERROR)];
}

int event_severity_from_name(const char *name, unsigned *ret_severity)
{
    for (unsigned i = 0; i < EVENT_SEVERITIES; i++)
        if (!strcmp(severities[i], name)) {
            *ret_severity = i;
            return 0;
        }
    return -1;
}

/* ---- the text ---- */

struct word {
    const char *name;
    const char *value;
};

/* NULL if it is missing. */
static const char *find_word(const struct event_words *words, const char *name, size_t length)
{
    const struct word all[] = {
        {"user", words->user},           {"vm", words->vm},       {"host", words->host},
        {"task", words->task},           {"name", words->name},   {"destination", words->destination},
        {"detail", words->detail},       {"error", words->error}, {"figures", words->figures},
        {"datastore", words->datastore},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        if (strlen(all[i].name) == length && !memcmp(all[i].name, name, length))
            return all[i].value && all[i].value[0] ? all[i].value : NULL;
    assert(!"a text of the table names a word that no event has");
    return NULL;
}

char *event_text(enum event_type type, const struct event_words *words)
{
    GString *text = g_string_new(NULL);
    gssize bracket = -1; /* where the text in brackets begins */
    bool is_whole = true;
    for (const char *at = event_type_row(type)->text; *at; at++) {
        if (*at == '[') {
            bracket = (gssize)text->len;
            is_whole = true;
        } else if (*at == ']') {
            if (!is_whole)
                g_string_truncate(text, (gsize)bracket);
            bracket = -1;
        } else if (*at == '{') {
            const char *end = strchr(at, '}');
            const char *word = find_word(words, at + 1, (size_t)(end - at - 1));
            is_whole = is_whole && word;
            g_string_append(text, word ? word : "?");
            at = end;
        } else {
            g_string_append_c(text, *at);
        }
    }
    return g_string_free(text, FALSE);
}
