# SPDX-License-Identifier: Apache-2.0
# Turns a text file (SQL, JSON) into a C string literal, a line each; comments of SQL and empty lines are left out.
/^--/d
/^$/d
s/[\\"]/\\&/g
s/.*/"&\\n"/
