/* SPDX-License-Identifier: Apache-2.0 */
#include "model/protocol.h"

int protocol_check(uint32_t manager, uint32_t agent, const char *host, struct err *err)
{
    if (manager == agent || manager + 1 == agent || agent + 1 == manager)
        return 0;
    (void)err_set(err, ERR_REFUSED, "protocol-mismatch",
                  "the agent on host '%s' speaks version %u of the protocol, the manager version %u", host,
                  agent, manager);
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "agent_protocol", "%u", agent);
    (void)err_arg(err, "manager_protocol", "%u", manager);
    (void)err_cause(err, "only versions next to each other work together");
    if (manager < agent)
        return err_fix(err, "upgrade the manager");
    return err_fix(err, "upgrade the agent on host '%s'; its VMs run on meanwhile", host);
}
