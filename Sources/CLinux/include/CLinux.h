#pragma once

#include "crc32c.h"
#include "sha1.h"
#include "system.h"
#include "xxh3.h"
