# SPDX-License-Identifier: Apache-2.0
# Turns a schema file into a C string literal, a line each; comments and empty lines are left out.
/^--/d
/^$/d
s/[\\"]/\\&/g
s/.*/"&\\n"/
