#pragma once
namespace xt {}
