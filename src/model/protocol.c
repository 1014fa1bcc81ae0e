/* SPDX-License-Identifier: Apache-2.0 */
#include "model/protocol.h"

#include "model/check_table.h"

int protocol_check(uint32_t manager, uint32_t agent, const char *host, struct err *err)
{
    if (manager == agent || manager + 1 == agent || agent + 1 == manager)
        return 0;
    return check_say(err, manager < agent ? CHECK_MANAGER_TOO_OLD : CHECK_AGENT_TOO_OLD,
                     CHECK_ARGS({"host", host}, {"agent_protocol", .number = agent},
                                {"manager_protocol", .number = manager}));
}
