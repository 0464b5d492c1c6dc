// A stand-in for the Android SDK's, with what Android.kt uses of it.
package android.content.res;

public class Configuration {}
