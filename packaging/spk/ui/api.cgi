#!/bin/sh
var=/var/packages/mooring/var; [ -d $var ] || var=/var/packages/mooring/target/var
MOORING_STATE=$var/state exec /var/packages/mooring/target/bin/mooring cgi
