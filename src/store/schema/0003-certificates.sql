-- SPDX-License-Identifier: Apache-2.0
-- Hex SHA-256 of the certificates that a host may show: the newest, and the one before until the newest was used. NULL: any of this authority with the
-- host's name, for hosts that enrolled before this step.
ALTER TABLE hosts ADD COLUMN certificate TEXT;
ALTER TABLE hosts ADD COLUMN previous_certificate TEXT;
