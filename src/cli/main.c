#include <stdio.h>

int main(void)
{
    puts("corten");
    return 0;
}
